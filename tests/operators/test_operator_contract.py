"""What every operator in the registry keeps to: the contract for authors, and golden fingerprints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from operators.contract.operator import Operator
from operators.deduplicate import Deduplicate
from operators.generate_missing import GenerateAnswer, GenerateQuestion
from operators.generate_pair import GeneratePair
from operators.ngram_repetition import NgramRepetition
from operators.optimize import OptimizeAnswer, OptimizePair, OptimizeQuestion
from operators.registry import CLEANING_RECIPE, OWN_CLASSES
from operators.rows.conversation import extra_text
from operators.rows.record import RECORD_SCHEMA
from operators.select_by_gradient import SelectByGradient
from operators.special_char_ratio import SpecialCharRatio
from operators.strip_markup import StripMarkup
from operators.testing.contract import CALL, OperatorContract, table_of
from operators.token_count import TokenCount
from tests.operators.row_tables import RunOperator

GOLDEN = Path(__file__).with_name("golden_fingerprints.json")
SPECS = [pytest.param(cls.model_validate({}), id=cls.model_fields["name"].default) for cls in OWN_CLASSES]


class TestStripMarkup(OperatorContract):
    operator = StripMarkup()


class TestSpecialCharRatio(OperatorContract):
    operator = SpecialCharRatio()


class TestTokenCount(OperatorContract):
    operator = TokenCount()


class TestNgramRepetition(OperatorContract):
    operator = NgramRepetition()


class TestDeduplicate(OperatorContract):
    operator = Deduplicate()


class TestOptimizePair(OperatorContract):
    operator = OptimizePair()


class TestOptimizeQuestion(OperatorContract):
    operator = OptimizeQuestion()


class TestOptimizeAnswer(OperatorContract):
    operator = OptimizeAnswer()


class TestGenerateQuestion(OperatorContract):
    operator = GenerateQuestion()


class TestGenerateAnswer(OperatorContract):
    operator = GenerateAnswer()


class TestGeneratePair(OperatorContract):
    operator = GeneratePair()


class TestSelectByGradient(OperatorContract):
    operator = SelectByGradient()


def test_the_contract_is_asked_of_every_operator() -> None:
    tried = {type(cls.operator) for name, cls in globals().items() if name.startswith("Test")}
    assert tried == set(OWN_CLASSES)


@pytest.mark.parametrize("spec", CLEANING_RECIPE, ids=lambda spec: spec.name)
def test_cleaning_keeps_an_answer_that_calls_a_tool_and_its_turns_as_they_are(
    run_operator: RunOperator, spec: Operator
) -> None:
    turns = [
        {"role": "user", "content": None, "extra": None},
        {"role": "assistant", "content": "", "extra": extra_text(CALL)},
        {"role": "tool", "content": "no no no no no no no no %$#@%$#@%$#@", "extra": None},
        {"role": "assistant", "content": None, "extra": extra_text(CALL)},
    ]
    table = table_of([{"history": turns, "question": "Hi?", "answer": None, "origin": "source"}])
    strict = spec.model_copy(update={"min_tokens": 5} if spec.name == "token_count" else {})
    assert [row for batch in run_operator(strict, [table]) for row in batch.table.to_pylist()] == table.to_pylist()


@pytest.mark.parametrize("spec", SPECS)
def test_declared_columns_exist(spec: Operator) -> None:
    assert set(spec.reads) | set(spec.writes) <= set(RECORD_SCHEMA.names)


@pytest.mark.parametrize("spec", SPECS)
def test_a_fingerprint_changes_only_with_a_new_version(spec: Operator) -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden.get(spec.name) == {"version": spec.version, "fingerprint": spec.fingerprint()}, (
        f"{spec.name} has other defaults, prompts or parameters than {GOLDEN.name} says: raise its version if outputs "
        "change, then write the new values there"
    )


def test_the_golden_file_names_every_operator_once() -> None:
    names = [cls.model_fields["name"].default for cls in OWN_CLASSES]
    assert sorted(names) == sorted(set(names)) == sorted(json.loads(GOLDEN.read_text()))


def test_the_cleaning_recipe_runs_in_the_order_of_the_plan() -> None:
    assert [spec.name for spec in CLEANING_RECIPE] == [
        "strip_markup",
        "special_char_ratio",
        "token_count",
        "ngram_repetition",
        "deduplicate",
    ]


def test_with_a_screener_only_these_see_the_clean_rows() -> None:
    seeing_all = {cls.model_fields["name"].default for cls in OWN_CLASSES if not cls.is_targeted()}
    assert seeing_all == {"deduplicate", "generate_pair"}
