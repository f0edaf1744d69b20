"""Which rows gradient selection keeps, given their influence."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.contract.resources import Resources
from operators.select_by_gradient import SelectByGradient
from operators.testing.fakes import FakeScorer
from tests.operators.row_tables import Records


def _by_answer(_question: str, answer: str) -> float:
    return float(answer)


def _select(table: pa.Table, *, keep_frac: float = 0.5) -> tuple[list[str], dict[str, int], dict[str, int]]:
    """Kept ids, counts of the batch, counts of the decision."""
    transform = SelectByGradient(keep_frac=keep_frac).build(Resources(influence=FakeScorer(_by_answer)))
    decision = transform.decide([transform.sketch(table)])
    kept = transform.apply(table, decision)
    return kept.table["id"].to_pylist(), dict(kept.counts), dict(decision.counts)


def test_the_top_half_stays_in_its_order(records: Records) -> None:
    table = records([("a", "0.1"), ("b", "0.9"), ("c", "-0.5"), ("d", "0.3")])
    kept, counts, decided = _select(table)
    assert kept == ["r0001", "r0003"]
    assert counts == {"dropped:low_influence": 2}
    assert decided == {"gradients:requested": 4, "gradients:executed": 4}


def test_equal_scores_are_told_apart_by_id(records: Records) -> None:
    table = records([("a", "1")] * 5)
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        kept, _, _ = _select(table.take(order), keep_frac=0.4)
        assert sorted(kept) == ["r0000", "r0001"]


def test_rows_without_a_score_stay_and_are_no_part_of_the_share(records: Records) -> None:
    table = records([("a", None), ("b", "2"), (None, "9"), ("c", "1"), (None, None)])
    kept, counts, decided = _select(table)
    assert kept == ["r0000", "r0001", "r0002", "r0004"]
    assert counts == {"dropped:low_influence": 1}
    assert decided["gradients:requested"] == 2


@given(
    values=st.lists(st.integers(-3, 3), min_size=1, max_size=12),
    keep_frac=st.sampled_from([0.01, 0.25, 0.5, 0.75, 1.0]),
)
def test_the_share_is_rounded_up_and_nothing_kept_scores_below_what_is_dropped(
    values: list[int], keep_frac: float
) -> None:
    table = pa.table(
        {
            "id": [f"r{at:02d}" for at in range(len(values))],
            "question": ["q"] * len(values),
            "answer": [str(value) for value in values],
        }
    )
    kept, _, _ = _select(table, keep_frac=keep_frac)
    assert len(kept) == -int(-keep_frac * len(values) // 1)
    by_id = dict(zip(table["id"].to_pylist(), values, strict=True))
    dropped = [value for row, value in by_id.items() if row not in kept]
    assert min(by_id[row] for row in kept) >= max(dropped, default=-3)


def test_no_rows_at_all_are_no_trouble(records: Records) -> None:
    assert _select(records([])) == ([], {}, {})


def test_a_scorer_is_asked_for_by_name() -> None:
    with pytest.raises(ValueError, match=r"Resources\.influence"):
        SelectByGradient().build(Resources())


@pytest.mark.parametrize(
    "values",
    [{"keep_frac": 0}, {"keep_frac": 1.5}, {"projection_dim": 8000}, {"num_checkpoints": 0}, {"projection": "dense"}],
)
def test_settings_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SelectByGradient.model_validate(values)
