"""The filters of the default recipe leave alone what people ask for, and drop what nobody wants.

The texts stand in `tests/corpora`: kept ones as written by hand, unwanted ones as a seeded maker.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from operators.contract.operator import RowOperator
from operators.contract.resources import Resources
from operators.ngram_repetition import NgramRepetition
from operators.special_char_ratio import SpecialCharRatio
from tests.corpora.garbage import loops, soups
from tests.operators.row_tables import Records

KEPT_TEXTS = Path(__file__).parents[1] / "corpora" / "kept_texts.jsonl"
MAX_LOST_FRAC = 0.005
MIN_RECALL = 0.95
NUM_GARBAGE = 400
FILTERS = pytest.mark.parametrize("spec", [SpecialCharRatio(), NgramRepetition()], ids=lambda spec: spec.name)


def _kept(spec: RowOperator, table: pa.Table) -> set[str]:
    return set(spec.build(Resources())(table).table["id"].to_pylist())


@FILTERS
def test_a_filter_loses_hardly_any_text_that_people_ask_for(records: Records, spec: RowOperator) -> None:
    rows = [json.loads(line) for line in KEPT_TEXTS.read_text(encoding="utf-8").splitlines()]
    kept = _kept(spec, records([(row["question"], row["answer"]) for row in rows]))
    lost = [f"{row['kind']}: {row['question']}" for at, row in enumerate(rows) if f"r{at:04d}" not in kept]
    assert len(rows) > 420
    assert len(lost) <= MAX_LOST_FRAC * len(rows), lost


@pytest.mark.parametrize(
    ("spec", "made"), [(SpecialCharRatio(), soups), (NgramRepetition(), loops)], ids=["soups", "loops"]
)
def test_a_filter_drops_nearly_all_garbage_of_its_kind(
    records: Records, spec: RowOperator, made: Callable[[Random, int], list[tuple[str, str]]]
) -> None:
    texts = made(Random(20), NUM_GARBAGE)
    kept = _kept(spec, records([("Why?", text) for _, text in texts]))
    assert len(kept) <= (1 - MIN_RECALL) * len(texts), sorted(texts[int(name[1:])] for name in kept)


@FILTERS
@pytest.mark.parametrize(
    "unit", ["x", " ", "\n", "| ", "a b ", "(", "((a) ", "- ", "_", "\\", "🎉", "1 ", "a\n", "|-", "é«"]
)
def test_a_filter_is_done_soon_with_a_very_long_text(records: Records, spec: RowOperator, unit: str) -> None:
    text = unit * (100_000 // len(unit))
    assert spec.build(Resources())(records([("Why?", text)])).table.num_rows <= 1
