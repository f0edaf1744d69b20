"""Trainings scored by their answers: compared with the baseline's, kept out of the journal, and never done twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from actors.data.stored_dataset import StoredDataset
from actors.models.source import ResolvedModel
from actors.storage.storage import Storage
from actors.training.recipe import TrainingRecipe
from autodp_ray.evaluators.base import AnswerScores
from autodp_ray.journal import Journal
from autodp_ray.scoring.answer_scores import EVALUATION, AnswerScorer
from autodp_ray.scoring.training_scores import TRAINING, Scorer, Training
from autodp_ray.statistics import score
from autodp_ray.strategies.spending import count_spending
from operators.contract.errors import EndpointError
from tests.autodp_ray.answer_fakes import SECRET, Answering, ByNumber
from tests.autodp_ray.run_fakes import FakeTraining, cache_client, make_scorer, stored


class Setting:
    """A scorer over one folder, as one run has it."""

    def __init__(self, root: Storage, training: FakeTraining, evaluator: ByNumber, *, run: str = "run") -> None:
        self.journal = Journal(root.folder(run))
        scorer = Scorer(
            run_id=run,
            train=training,
            model=ResolvedModel(source="/models/tiny", revision="tiny@1"),
            recipe=TrainingRecipe(),
            cache=cache_client(root, run_id=run),
            journal=self.journal,
            max_answer_tokens=32,
        )
        self.scorer = AnswerScorer(scorer, evaluator, journal=self.journal)


@pytest.fixture
def root(tmp_path: Path) -> Storage:
    return Storage.at(tmp_path)


@pytest.fixture
def training() -> Answering:
    return Answering(lambda table, seed: 1.0)


@pytest.fixture
def data(root: Storage) -> dict[str, StoredDataset]:
    return {
        "raw": stored(root.folder("raw"), ["a"]),
        "processed": stored(root.folder("processed"), ["a", "b", "c"]),
        "held_out": stored(root.folder("held_out"), ["x", "y"]),
    }


def of(data: dict[str, StoredDataset], name: str) -> Training:
    return Training(dataset=data[name], held_out=data["held_out"], seed=0)


def test_answers_are_scored_against_the_baselines(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    judge = ByNumber()
    setting = Setting(root, training, judge)
    baseline = of(data, "raw")
    found = setting.scorer.score(of(data, "processed"), baseline)
    assert score(found.items) == 2.0
    assert score(setting.scorer.score(baseline, baseline).items) == 0.0
    assert found.record.items() != found.items, "the losses are kept beside them"
    assert len(training.jobs) == 2
    assert judge.scored[0] == (f"{SECRET} 3",) * 2 + (f"{SECRET} 1",) * 2


def test_a_score_against_the_references_needs_no_baseline(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    setting = Setting(root, training, ByNumber(compares=False))
    found = setting.scorer.score(of(data, "processed"), of(data, "raw"))
    assert score(found.items) == 3.0
    assert len(training.jobs) == 1


def test_the_journal_holds_scores_and_no_answer(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    setting = Setting(root, training, ByNumber())
    setting.scorer.score(of(data, "processed"), of(data, "raw"))
    events = list(setting.journal)
    assert [event.name for event in events] == [TRAINING, TRAINING, EVALUATION]
    assert SECRET not in json.dumps([event.payload for event in events])
    spent = count_spending(setting.journal)
    assert (spent.llm_calls_requested, spent.llm_calls_executed, spent.llm_tokens) == (2, 1, 6)


def test_a_resumed_run_asks_the_judge_nothing(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    first, again = ByNumber(), ByNumber()
    one = of(data, "processed"), of(data, "raw")
    before = Setting(root, training, first).scorer.score(*one)
    root.delete("cache")
    assert Setting(root, training, again).scorer.score(*one) == before
    assert again.scored == []
    assert len(training.jobs) == 2


def test_another_judge_or_another_baseline_scores_anew_but_trains_nothing_twice(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    mine, raw = of(data, "processed"), of(data, "raw")
    Setting(root, training, ByNumber()).scorer.score(mine, raw)
    other = ByNumber(revision="numbers-2")
    Setting(root, training, other).scorer.score(mine, raw)
    assert len(other.scored) == 1
    assert len(training.jobs) == 2
    same = ByNumber()
    Setting(root, training, same).scorer.score(mine, replace(raw, seed=1))
    assert len(same.scored) == 1
    assert [job.seed for job in training.jobs] == [0, 0, 1]


def test_another_run_takes_the_answers_from_the_cache(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    one = of(data, "processed"), of(data, "raw")
    first = Setting(root, training, ByNumber(), run="one").scorer.score(*one)
    other = Setting(root, training, ByNumber(), run="two").scorer.score(*one)
    assert other.items == first.items
    assert (first.executed, other.executed) == (True, False)
    assert len(training.jobs) == 2


def test_a_judge_that_cannot_be_reached_leaves_no_score(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    judge = ByNumber()
    judge.failing = True
    setting = Setting(root, training, judge)
    one = of(data, "processed"), of(data, "raw")
    with pytest.raises(EndpointError):
        setting.scorer.score(*one)
    assert setting.journal.count(EVALUATION) == 0
    judge.failing = False
    setting.scorer.score(*one)
    assert len(training.jobs) == 2


def test_strategies_that_left_the_same_rows_are_judged_once(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    class Slow(ByNumber):
        def score(self, rows: pa.Table, answers: Sequence[str], rivals: Sequence[str]) -> AnswerScores:
            time.sleep(0.2)
            return super().score(rows, answers, rivals)

    judge = Slow()
    setting = Setting(root, training, judge)
    lent: list[str] = []

    @contextmanager
    def waiting() -> Iterator[None]:
        lent.append("a worker")
        yield

    one = replace(of(data, "processed"), release_worker=waiting), of(data, "raw")
    with ThreadPoolExecutor(max_workers=3) as pool:
        found = [each.result() for each in [pool.submit(setting.scorer.score, *one) for _ in range(3)]]
    assert found[0].items == found[1].items == found[2].items
    assert len(judge.scored) == 1
    assert "a worker" in lent
    assert setting.journal.count(EVALUATION) == 1


def test_a_training_with_answers_and_one_without_are_kept_apart(
    root: Storage, training: Answering, data: dict[str, StoredDataset]
) -> None:
    Setting(root, training, ByNumber(compares=False)).scorer.score(of(data, "raw"), of(data, "raw"))
    plain = FakeTraining(lambda table, seed: 1.0)
    make_scorer(root, plain).score(of(data, "raw"))
    assert len(plain.jobs) == 1
    assert plain.jobs[0].max_answer_tokens is None
