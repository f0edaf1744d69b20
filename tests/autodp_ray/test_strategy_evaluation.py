"""Strategies scored against the baseline, with stand-ins for Ray's part: failures stay failures, seeds stay apart."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from actors.storage import Storage
from autodp_ray.config import EvaluationConfig
from autodp_ray.evaluation import TRAINING
from autodp_ray.journal import Journal
from autodp_ray.progress import Silent
from autodp_ray.strategy import Strategy, parse_strategies
from autodp_ray.strategy_evaluation import CONFIRM_SEED_OFFSET, StrategyEvaluator
from operators.errors import EndpointError, RunError
from tests.autodp_ray.run_fakes import FakeRecipe, FakeTraining, make_processor, make_scorer, stored

CONFIG = EvaluationConfig(bootstrap_samples=200, seed=5)


def loss(table: pa.Table, seed: int) -> float:
    """Cleaned rows make a better model, rewritten ones a worse; seeds differ by a little."""
    answers = table["answer"]
    cleaned = pc.any(pc.match_substring(answers, "strip_markup")).as_py()
    rewritten = pc.any(pc.match_substring(answers, "optimize_pair")).as_py()
    return 3.0 - 0.5 * bool(cleaned) + 0.2 * bool(rewritten) + 0.001 * (seed % 7)


class Bench:
    """An evaluator over one sample, and what stands in for Ray."""

    def __init__(self, root: Storage) -> None:
        self.root = root
        self.recipe = FakeRecipe()
        self.training = FakeTraining(loss)
        self.test = stored(root.folder("test"), ["t1", "t2", "t3"])
        self.evaluator = StrategyEvaluator(
            sample=stored(root.folder("sample"), ["a", "b"]),
            validation=stored(root.folder("validation"), ["v1", "v2", "v3", "v4"]),
            processor=make_processor(root, self.recipe),
            scorer=make_scorer(root, self.training),
            config=CONFIG,
            progress=Silent(),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(Storage.at(tmp_path))


def test_the_baseline_is_the_mean_of_its_seeds_and_their_spread_is_the_noise(bench: Bench) -> None:
    baseline = bench.evaluator.baseline()
    assert [job.seed for job in bench.training.jobs] == [5, 6, 7]
    each = [-(10 * loss(pa.table({"answer": ["a"]}), seed) + offset) / 10 for seed in (5, 6, 7) for offset in [0.75]]
    assert baseline.score == pytest.approx(sum(each) / 3)
    assert baseline.noise_floor > 0


def test_scores_are_gains_over_the_baseline(bench: Bench) -> None:
    bench.evaluator.baseline()
    cleaned, rewritten = bench.evaluator.evaluate(parse_strategies("cleaning,optimization"))
    assert cleaned.estimate == pytest.approx(0.5, abs=0.01)
    assert rewritten.estimate == pytest.approx(-0.2, abs=0.01)
    assert cleaned.score is not None
    assert cleaned.score.low <= cleaned.estimate <= cleaned.score.high
    assert (cleaned.num_rows, cleaned.num_steps) == (2, 24)


def test_every_strategy_of_a_search_is_trained_with_the_baselines_first_seed(bench: Bench) -> None:
    bench.evaluator.baseline()
    bench.evaluator.evaluate(parse_strategies("cleaning,generation"))
    assert [job.seed for job in bench.training.jobs[3:]] == [5, 5]


@pytest.mark.parametrize("error", [EndpointError("refused 5 times"), RunError("a worker died")])
def test_a_strategy_that_cannot_be_processed_fails_alone(bench: Bench, error: Exception) -> None:
    bench.evaluator.baseline()
    bench.recipe.failing["optimize_pair"] = error
    cleaned, failed, deeper = bench.evaluator.evaluate(
        parse_strategies("cleaning,optimization,cleaning>optimization>generation")
    )
    assert cleaned.score is not None
    assert (failed.score, failed.score_raw, failed.error) == (None, None, str(error))
    assert deeper.error == str(error)
    assert len(bench.training.jobs) == 4


def test_a_failed_strategy_never_takes_the_score_of_the_one_before(bench: Bench) -> None:
    bench.evaluator.baseline()
    (cleaned,) = bench.evaluator.evaluate(parse_strategies("cleaning"))
    bench.training.failing = RunError("the training failed")
    (failed,) = bench.evaluator.evaluate(parse_strategies("optimization"))
    assert cleaned.score is not None
    assert (failed.score, failed.error) == (None, "the training failed")
    bench.training.failing = None
    (again,) = bench.evaluator.evaluate(parse_strategies("optimization"))
    assert again.estimate == pytest.approx(-0.2, abs=0.01)


def test_a_baseline_that_cannot_be_trained_ends_the_run(bench: Bench) -> None:
    bench.training.failing = RunError("no GPU")
    with pytest.raises(RunError, match="no GPU"):
        bench.evaluator.baseline()


def test_other_errors_are_bugs_and_are_not_hidden(bench: Bench) -> None:
    bench.evaluator.baseline()
    bench.recipe.failing["strip_markup"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        bench.evaluator.evaluate(parse_strategies("cleaning"))


def test_what_was_asked_for_is_counted_and_what_was_not_had_is_counted_apart(bench: Bench) -> None:
    bench.evaluator.baseline()
    bench.recipe.failing["optimize_pair"] = RunError("gone")
    bench.evaluator.evaluate(parse_strategies("cleaning,cleaning>optimization>generation,cleaning>generation"))
    asked = bench.evaluator.requested
    assert (asked.team_runs, asked.failed_team_runs) == (6, 2)
    assert (asked.trainings, asked.failed_trainings) == (5, 0)
    bench.training.failing = RunError("gone too")
    bench.evaluator.evaluate(parse_strategies("generation"))
    assert (asked.trainings, asked.failed_trainings) == (6, 1)


def test_confirming_uses_fresh_seeds_on_both_sides_and_the_test_set(bench: Bench) -> None:
    bench.evaluator.baseline()
    bench.evaluator.evaluate(parse_strategies("cleaning"))
    searched = len(bench.training.jobs)
    confirmed = bench.evaluator.confirm(Strategy.parse("cleaning"), bench.test)
    jobs = bench.training.jobs[searched:]
    fresh = [5 + CONFIRM_SEED_OFFSET + number for number in range(3)]
    assert [job.seed for job in jobs] == fresh * 2
    assert {job.evaluation["held_out"] for job in jobs} == {bench.test.rows_for_workers()}
    assert not {job.seed for job in jobs} & {job.seed for job in bench.training.jobs[:searched]}
    assert confirmed.interval.estimate == pytest.approx(0.5, abs=0.01)
    assert confirmed.interval.low > 0


def test_the_test_set_is_not_read_before_the_confirmation(bench: Bench) -> None:
    bench.evaluator.baseline()
    bench.evaluator.evaluate(parse_strategies("cleaning,optimization>cleaning"))
    assert bench.test.rows_for_workers() not in [job.evaluation["held_out"] for job in bench.training.jobs]


def test_no_processing_as_a_given_strategy_costs_no_training_of_its_own(bench: Bench) -> None:
    bench.evaluator.baseline()
    (found,) = bench.evaluator.evaluate(parse_strategies("none"))
    assert abs(found.estimate) < 0.01
    assert len(bench.training.jobs) == 3


def test_a_resumed_evaluation_repeats_nothing_and_scores_the_same(tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        resumed = Bench(Storage.at(tmp_path))
        found.append(
            (
                resumed.evaluator.baseline(),
                resumed.evaluator.evaluate(parse_strategies("cleaning,cleaning>optimization")),
                resumed.evaluator.confirm(Strategy.parse("cleaning"), resumed.test),
                resumed.evaluator.requested,
            )
        )
    assert found[0] == found[1]
    assert (resumed.recipe.ran, resumed.training.jobs) == ([], [])


def test_trainings_carry_the_name_of_their_strategy_into_the_journal(bench: Bench) -> None:
    bench.evaluator.baseline()
    bench.evaluator.evaluate(parse_strategies("cleaning"))
    events = [event.payload for event in Journal(bench.root.folder("run")) if event.name == TRAINING]
    assert [event["label"] for event in events] == ["none", "none", "none", "cleaning"]
    json.dumps(events)
