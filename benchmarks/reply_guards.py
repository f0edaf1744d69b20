"""What the guards of rewriting and generation let through, and what they refuse in vain: tests/corpora/replies.jsonl.

The set is our own: refusals, wrappings, other languages and half sentences, and honest replies that look like them. The
patterns were tuned on the split `tune`; the figures to quote are of `held_out`, which has other wordings by the same
hand, so that they flatter. A fault counts as caught where the reply is rejected, or where a wrapping came off and the
bare text was taken.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.protocol import Figures
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.generate_missing import GenerateAnswer
from operators.optimize import OptimizeAnswer
from operators.rows.record import RECORD_SCHEMA

CORPUS = Path(__file__).parent.parent / "tests" / "corpora" / "replies.jsonl"
LabelledRow = Mapping[str, Any]


class _Scripted:
    """Gives one reply, whatever it is asked."""

    revision = "scripted"

    def __init__(self, text: str) -> None:
        self._text = text

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        return [Completion(text=self._text) for _ in requests]


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Recall by kind of fault, and the share of honest replies refused or changed, by split and language."""
    tallies: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    for row in list(corpus())[:rows]:
        tallies[row["split"], row["kind"], row["language"]].append(is_right(row))
    figures: dict[str, Any] = {}
    for (split, kind, language), right in sorted(tallies.items()):
        place = figures.setdefault(split, {}).setdefault("false_alarms" if kind == "honest" else "recall", {})
        share = sum(right) / len(right)
        figure = 1 - share if kind == "honest" else share
        (place if kind == "honest" else place.setdefault(kind, {}))[language] = round(figure, 4)
        figures[split].setdefault("num_replies", {}).setdefault(kind, {})[language] = len(right)
    return figures


def corpus() -> Iterator[LabelledRow]:
    """The replies of the set, each with its row, its kind and what of it is the text."""
    for line in CORPUS.read_text("utf-8").splitlines():
        yield json.loads(line)


def is_right(row: LabelledRow) -> bool:
    """Whether the guards do with a reply what they should."""
    taken = stored(row)
    if row["kind"] == "honest":
        return bool(taken == (row["clean"] or row["reply"]))
    return taken is None or bool(taken == row["clean"])


def stored(row: LabelledRow) -> str | None:
    """What of a reply enters the row; None where it is rejected."""
    operator = GenerateAnswer() if row["original"] is None else OptimizeAnswer()
    resources = Resources(completer=_Scripted(row["reply"]), language=row["language"])
    table = pa.table([["a"], [[]], [row["question"]], [row["original"]], ["source"]], schema=RECORD_SCHEMA)
    out = operator.build(resources)(table)
    text: str | None = out.table["answer"][0].as_py()
    is_taken = not any(reason.startswith("rejected") for reason in out.counts)
    return text if is_taken else None
