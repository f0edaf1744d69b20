"""Evaluators are a family: settings name one by its word, and a new one needs nothing but its own class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
import pytest

from actors.storage.storage import Storage
from autodp_ray.config.run_config import Config, EvaluationConfig
from autodp_ray.doctor.packages import needed_packages
from autodp_ray.evaluators.base import AnswerScores, Evaluator, EvaluatorResources, S
from autodp_ray.evaluators.registry import EVALUATORS
from autodp_ray.journal import Journal
from autodp_ray.progress import Silent
from autodp_ray.reporting.report import render_report
from autodp_ray.result import RunResult
from autodp_ray.scoring.answer_scores import AnswerScorer
from autodp_ray.scoring.training_scores import TrainingScorer
from autodp_ray.search.agent.messages import AgentTask, round_message
from autodp_ray.search.proposal import Feedback, RoundScores, StrategyScore
from autodp_ray.statistics import ItemScores
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator
from autodp_ray.strategy import Strategy, parse_strategies
from operators.contract.errors import InputError
from operators.contract.resources import Language
from tests.autodp_ray.answer_fakes import Answering
from tests.autodp_ray.run_fakes import FakeRecipe, make_config, make_processor, make_scorer, stored, tagged


class BrevityEvaluator(Evaluator):
    """r is minus the mean length of an answer in characters, weighed."""

    needs_answers: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = ("faiss",)
    unit: ClassVar[str] = "characters"
    note: ClassVar[str] = "Short answers are not always good ones."
    meaning: ClassVar[Mapping[Language, str]] = {"en": "r is how short answers are", "zh": "r 是答案的简短程度"}

    name: Literal["brevity"] = "brevity"
    weight: float = 1.0

    def build(self, resources: EvaluatorResources[S]) -> S:
        return resources.by_answers(BrevityGrader(weight=self.weight))


@dataclass(frozen=True, slots=True, kw_only=True)
class BrevityGrader:
    weight: float

    @property
    def revision(self) -> str:
        return f"brevity-1 {self.weight}"

    @property
    def compares(self) -> bool:
        return False

    def score(self, rows: pa.Table, answers: Sequence[str], rivals: Sequence[str]) -> AnswerScores:
        values = [-self.weight * len(answer) for answer in answers]
        return AnswerScores(items=ItemScores.of_values(rows["id"].to_pylist(), values))


def with_brevity(**settings: float) -> Config:
    evaluation = EvaluationConfig(max_answer_tokens=32, bootstrap_samples=100)
    brevity = BrevityEvaluator.model_validate(settings)
    return make_config("data.jsonl").model_copy(
        update={"evaluation": evaluation.model_copy(update={"evaluator": brevity})}
    )


@pytest.mark.parametrize("name", EVALUATORS)
def test_a_word_and_a_section_name_the_same_evaluator_which_is_written_as_its_word(name: str) -> None:
    word = make_config("d", evaluation={"evaluator": name}).evaluation
    assert word == make_config("d", evaluation={"evaluator": {"name": name}}).evaluation
    assert word.evaluator == EVALUATORS[name].model_validate({})
    assert word.model_dump()["evaluator"] == name


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("jugde", "evaluation.evaluator: unknown name 'jugde'; did you mean judge?"),
        (3, "evaluation.evaluator: must be a section of settings, not 3"),
        ({"name": "judge", "taste": 1}, "unknown key evaluation.evaluator.taste"),
    ],
)
def test_a_wrong_evaluator_is_refused_by_its_key(wrong: object, said: str) -> None:
    with pytest.raises(InputError) as refused:
        make_config("d", evaluation={"evaluator": wrong})
    assert said in str(refused.value)


@pytest.mark.parametrize("evaluator", EVALUATORS.values())
def test_every_evaluator_has_words_for_the_report_and_the_agent(evaluator: type[Evaluator]) -> None:
    assert all((evaluator.unit, evaluator.note, evaluator.meaning["en"], evaluator.meaning["zh"]))


def test_only_evaluators_whose_models_answer_have_room_for_answers() -> None:
    rooms = {
        name: make_config("d", evaluation={"evaluator": name, "max_answer_tokens": 7}).evaluation.answer_tokens
        for name in EVALUATORS
    }
    assert rooms == {"loss": None, "judge": 7, "reference": 7}


def test_a_new_evaluator_scores_strategies_from_its_own_class_alone(tmp_path: Path) -> None:
    root, config = Storage.at(tmp_path), with_brevity(weight=2.0)
    journal = Journal(root.folder("run"))
    training = Answering(lambda table, seed: 1.0)
    scorer = make_scorer(root, training, journal=journal, max_answer_tokens=config.evaluation.answer_tokens)
    resources: EvaluatorResources[TrainingScorer] = EvaluatorResources(
        by_losses=scorer,
        by_answers=lambda grader: AnswerScorer(scorer, grader, journal=journal),
        models={},
        embedder=lambda: pytest.fail("it needs none"),
        language="en",
        domain="general",
        seed=0,
    )
    strategies = StrategyEvaluator(
        sample=stored(root.folder("sample"), ["a"] * 10),
        validation=stored(root.folder("validation"), ["v1", "v2"]),
        processor=make_processor(root, FakeRecipe(lambda table, name: tagged(table, name).slice(1)), journal=journal),
        scorer=config.evaluation.evaluator.build(resources),
        config=config.evaluation,
        progress=Silent(),
    )
    strategies.baseline()
    (shorter,) = strategies.evaluate(parse_strategies("cleaning"))
    assert shorter.estimate == 2.0, "`secret-answer 9` is one character shorter than `secret-answer 10`"


def test_a_new_evaluator_is_known_to_doctor_agent_and_report(monkeypatch: pytest.MonkeyPatch) -> None:
    config = with_brevity()
    needs = needed_packages(config, {})
    assert [(need.module, need.setting) for need in needs] == [("faiss", "evaluation.evaluator brevity")]
    tried = RoundScores(round=1, results=(StrategyScore(strategy=Strategy.parse("cleaning"), score=0.1),))
    said = round_message(AgentTask(evaluator=type(config.evaluation.evaluator)), Feedback(rounds=(tried,)))
    assert "where r is how short answers are and r_0" in said[1]
    result = RunResult(status="done", evaluator=config.evaluation.evaluator.name)
    assert BrevityEvaluator.note not in render_report(result)
    monkeypatch.setitem(EVALUATORS, "brevity", BrevityEvaluator)  # the one word in registry.py
    assert BrevityEvaluator.note in render_report(result)
