"""The operators keep to the contract, and drop and change what they say."""

from __future__ import annotations

from quality_filter.model import QualityModel
from quality_filter.operator import QualityFilter
from quality_filter.phone_mask import PhoneMask

from operators.contract.resources import Resources
from operators.testing import OperatorContract
from operators.testing.contract import run_batches, table_of


class TestQualityFilter(OperatorContract):
    operator = QualityFilter()


class TestPhoneMask(OperatorContract):
    operator = PhoneMask()


def test_phone_numbers_are_masked_and_other_numbers_stay() -> None:
    answers = ["Call +49 30 1234-567 now.", "Take 2 of 500 mg.", None]
    table = table_of([{"question": "How?", "answer": answer} for answer in answers])
    outcome = run_batches(PhoneMask(), [table], resources=Resources())
    assert [row["answer"] for row in outcome.rows] == ["Call [phone] now.", "Take 2 of 500 mg.", None]
    assert outcome.counts == {"masked:answer": 1}


def test_a_repeated_answer_is_dropped_under_its_reason() -> None:
    table = table_of([{"question": "Why?", "answer": answer} for answer in ("no no no no", "Because it rains.", None)])
    outcome = run_batches(QualityFilter(), [table], resources=Resources())
    assert [row["answer"] for row in outcome.rows] == ["Because it rains.", None]
    assert outcome.counts == {"dropped:low_quality": 1}


def test_the_model_is_loaded_by_build_alone() -> None:
    before = QualityModel.num_loads
    spec = QualityFilter(min_quality=0.2)
    assert QualityModel.num_loads == before
    spec.build(Resources())
    assert QualityModel.num_loads == before + 1
