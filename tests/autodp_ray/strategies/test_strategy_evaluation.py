"""Strategies scored against the baseline, with stand-ins for Ray's part: failures stay failures, seeds stay apart."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from actors.cache.cache import StrategyCache
from actors.storage.storage import Storage
from autodp_ray.config.teams_config import TeamsConfig
from autodp_ray.journal import Journal
from autodp_ray.scoring.training_scores import TRAINING
from autodp_ray.statistics import Interval
from autodp_ray.strategies.processing import TEAM_RUN
from autodp_ray.strategies.spending import count_spending
from autodp_ray.strategies.strategy_evaluation import CONFIRM_SEED_OFFSET
from autodp_ray.strategy import Strategy, parse_strategies
from autodp_ray.tracking.log_labels import log_labels
from operators.contract.errors import EndpointError, RunError
from tests.autodp_ray.answer_fakes import ByNumber
from tests.autodp_ray.run_fakes import (
    FIGURE_5,
    dataset_keys,
    tagged,
)
from tests.autodp_ray.strategies.evaluation_bench import CONFIG, Bench, loss

UNDECIDED = CONFIG.model_copy(update={"confirm_baseline_seeds": 4, "confirm_seeds_at_most": 5})


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


def test_answers_are_compared_with_those_of_the_baselines_first_seed(tmp_path: Path) -> None:
    judge = ByNumber()
    bench = Bench(
        Storage.at(tmp_path),
        change=lambda table, name: pa.concat_tables([table, table]),
        evaluator=judge,
        num_workers=2,
    )
    baseline = bench.evaluator.baseline()
    assert (baseline.score, baseline.noise_floor) == (0.0, 0.0)
    (doubled,) = bench.evaluator.evaluate(parse_strategies("cleaning"))
    assert doubled.estimate == 2.0, "four rows against two"
    confirmed = bench.evaluator.confirm(Strategy.parse("cleaning"), bench.test)
    assert confirmed.interval.estimate == 2.0
    assert len(bench.training.jobs) == 3 + 1 + 6
    assert [len(shown) for shown in judge.scored] == [8] * 4 + [6] * 6, "both sides' answers, on four rows and on three"


def test_a_judge_that_is_down_fails_a_strategy_and_not_the_round(tmp_path: Path) -> None:
    judge = ByNumber()
    bench = Bench(Storage.at(tmp_path), evaluator=judge)
    bench.evaluator.baseline()
    judge.failing = True
    (failed,) = bench.evaluator.evaluate(parse_strategies("cleaning"))
    assert failed.score is None
    assert failed.error == "the judge is down"
    judge.failing = False
    (scored,) = bench.evaluator.evaluate(parse_strategies("cleaning"))
    assert scored.score is not None
    assert len(bench.training.jobs) == 4


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
    assert confirmed.strategy == Strategy.parse("cleaning")


def test_the_test_set_is_not_read_before_the_confirmation(bench: Bench) -> None:
    bench.evaluator.baseline()
    bench.evaluator.evaluate(parse_strategies("cleaning,optimization>cleaning"))
    assert bench.test.rows_for_workers() not in [job.evaluation["held_out"] for job in bench.training.jobs]


def test_no_processing_as_a_given_strategy_costs_no_training_of_its_own(bench: Bench) -> None:
    bench.evaluator.baseline()
    (found,) = bench.evaluator.evaluate(parse_strategies("none"))
    assert found.estimate == 0
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


def test_trainings_carry_the_hash_of_their_data_into_the_journal(bench: Bench) -> None:
    bench.evaluator.baseline()
    bench.evaluator.evaluate(parse_strategies("cleaning"))
    journal = tuple(Journal(bench.root.folder("run")))
    (cleaned,) = [event.payload["content_hash"] for event in journal if event.name == TEAM_RUN]
    events = [event.payload for event in journal if event.name == TRAINING]
    assert [event["data"] for event in events] == [bench.sample.content_hash] * 3 + [cleaned]
    json.dumps(events)


def test_the_papers_two_rounds_execute_six_of_fifteen_team_runs(tmp_path: Path) -> None:
    recipes = TeamsConfig.model_validate({"selection": [{"name": "deduplicate"}]})
    for num_workers in (1, 4):
        bench = Bench(Storage.at(tmp_path / str(num_workers)), num_workers=num_workers, teams=recipes)
        bench.evaluator.baseline()
        found = bench.evaluator.evaluate(parse_strategies(FIGURE_5))
        assert [str(one.strategy) for one in found] == FIGURE_5.split(",")
        assert all(one.score is not None for one in found)
        assert len(bench.recipe.ran) == 6
        assert bench.evaluator.requested.team_runs == 15
        spent = count_spending(Journal(bench.root.folder("run")))
        assert (spent.team_runs_executed, spent.trainings_executed) == (6, 3 + 6)
        assert bench.evaluator.requested.trainings == 3 + 7


def test_without_sharing_every_strategy_of_every_round_is_computed_and_trained_anew(tmp_path: Path) -> None:
    for run in ("first", "resumed"):
        bench = Bench(Storage.at(tmp_path), num_workers=2, shares=False)
        baseline = bench.evaluator.baseline()
        first = bench.evaluator.evaluate(parse_strategies("cleaning,cleaning>optimization"))
        second = bench.evaluator.evaluate(parse_strategies("cleaning>generation,cleaning>optimization"))
        bench.evaluator.confirm(Strategy.parse("cleaning"), bench.test)
        spent = count_spending(Journal(bench.root.folder("run")))
        assert bench.evaluator.requested.team_runs == spent.team_runs_executed == 7
        assert bench.evaluator.requested.trainings == spent.trainings_executed == 3 + 4 + 6
        assert (len(bench.recipe.ran), len(bench.training.jobs)) == ((7, 13) if run == "first" else (0, 0))
    shared = Bench(Storage.at(tmp_path / "shared"))
    assert shared.evaluator.baseline() == baseline
    assert shared.evaluator.evaluate([one.strategy for one in first + second]) == first + second


def timeless(journal: Journal) -> dict[tuple[str, str], object]:
    """What a journal says, whatever the order and time of its events."""
    return {
        (event.name, event.key): {name: value for name, value in event.payload.items() if name != "seconds"}
        for event in journal
    }


def test_scores_and_journal_do_not_depend_on_who_was_first(tmp_path: Path) -> None:
    found = []
    for number, num_workers in enumerate((1, 4, 4)):
        bench = Bench(Storage.at(tmp_path / str(number)), num_workers=num_workers, seconds=0.01 * number)
        bench.recipe.failing["generate_question"] = EndpointError("refused")
        baseline = bench.evaluator.baseline()
        wanted = parse_strategies(
            "cleaning>optimization,cleaning,none,optimization>cleaning,cleaning>generation>optimization,generation"
        )
        evaluated = bench.evaluator.evaluate(wanted)
        found.append((baseline, evaluated, bench.evaluator.requested, timeless(Journal(bench.root.folder("run")))))
    assert found[0] == found[1] == found[2]


def test_a_failing_prefix_fails_exactly_the_strategies_that_contain_it_and_is_tried_once(tmp_path: Path) -> None:
    bench = Bench(Storage.at(tmp_path), num_workers=4, seconds=0.01)
    bench.recipe.failing["optimize_pair"] = EndpointError("refused")
    bench.evaluator.baseline()
    wanted = parse_strategies(
        "cleaning>optimization,cleaning>optimization>generation,cleaning,cleaning>generation,generation>cleaning"
    )
    found = bench.evaluator.evaluate(wanted)
    assert [one.error for one in found] == ["refused", "refused", None, None, None]
    assert bench.recipe.ran.count("optimize_pair") == 1
    assert bench.evaluator.requested.failed_team_runs == 1 + 2


def test_a_strategy_that_leaves_every_row_as_it_is_scores_exactly_as_no_processing(tmp_path: Path) -> None:
    """Its one training would be one of the baseline's, better or worse than their mean by its seed alone."""
    bench = Bench(Storage.at(tmp_path), num_workers=3, change=lambda table, name: table, seconds=0.01)
    baseline = bench.evaluator.baseline()
    found = bench.evaluator.evaluate(parse_strategies("cleaning,cleaning>optimization,generation"))
    again = bench.evaluator.evaluate_again(found)
    assert [one.score for one in (*found, *again)] == [Interval(estimate=0.0, low=0.0, high=0.0)] * 6
    assert {one.score_raw for one in found} == {baseline.score}
    assert bench.evaluator.requested.trainings == len(bench.training.jobs) == 3


def test_a_suffix_that_changes_nothing_is_trained_once_also_side_by_side(tmp_path: Path) -> None:
    def cleaned_alone(table: pa.Table, name: str) -> pa.Table:
        return tagged(table, name) if name == "strip_markup" else table

    bench = Bench(Storage.at(tmp_path), num_workers=3, change=cleaned_alone, seconds=0.01)
    bench.evaluator.baseline()
    found = bench.evaluator.evaluate(parse_strategies("cleaning,cleaning>optimization,cleaning>generation"))
    assert len({one.score_raw for one in found}) == 1
    assert len(bench.training.jobs) == 3 + 1


def test_a_claim_of_another_driver_keeps_no_worker_from_other_strategies(tmp_path: Path) -> None:
    root = Storage.at(tmp_path)
    shared = StrategyCache(root.folder("cache").location)
    bench = Bench(root, cache=shared)
    bench.evaluator.baseline()
    (key,) = dataset_keys(root.folder("elsewhere"), bench.sample, "cleaning")
    assert shared.lease(f"datasets/{key}", "another driver")["state"] == "granted"

    def give_up(table: pa.Table, name: str) -> pa.Table:
        if name == "optimize_pair":
            shared.abandon(None, "another driver")
        return tagged(table, name)

    bench.recipe.change = give_up
    found = bench.evaluator.evaluate(parse_strategies("cleaning,optimization"))
    assert bench.recipe.ran == ["optimize_pair", "strip_markup"]
    assert all(one.score is not None for one in found)


def test_live_objects_are_released_after_each_round(tmp_path: Path) -> None:
    bench = Bench(Storage.at(tmp_path))
    bench.evaluator.baseline()
    for number in (1, 2):
        bench.evaluator.evaluate(parse_strategies("cleaning"))
        assert bench.num_releases == number


def test_what_is_logged_of_a_strategy_side_by_side_with_others_carries_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(Storage.at(tmp_path), num_workers=2)
    bench.recipe.failing = {name: RunError(f"{name} broke") for name in ("strip_markup", "generate_question")}
    caplog.handler.addFilter(lambda record: record.__dict__.update(log_labels()) or True)
    bench.evaluator.baseline()
    bench.evaluator.evaluate([Strategy.parse("cleaning"), Strategy.parse("generation")])
    failed = {record.__dict__.get("strategy"): record.getMessage() for record in caplog.records}
    assert {name: text.partition(" failed")[0] for name, text in failed.items() if "failed" in text} == {
        "cleaning": "strategy cleaning",
        "generation": "strategy generation",
    }


def test_a_strategy_that_breaks_off_because_the_run_ends_is_not_said_to_have_failed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def change(table: pa.Table, name: str) -> pa.Table:
        if name == "strip_markup":
            assert begun.wait(30)
            raise ZeroDivisionError("which ends the run")
        begun.set()
        assert ended.wait(30)
        raise RunError("the service is closed")

    bench = Bench(Storage.at(tmp_path), num_workers=2, change=change)
    bench.evaluator.baseline()
    with pytest.raises(ZeroDivisionError):
        bench.evaluator.evaluate(parse_strategies("cleaning,generation"))
    tasks = [thread for thread in threading.enumerate() if thread.name == "task-1"]
    ended.set()
    for task in tasks:
        task.join(timeout=30)
    assert tasks
    assert not [record for record in caplog.records if "failed" in record.getMessage()]


@pytest.mark.parametrize(
    ("gain", "seeds"),
    [(0.5, [*range(3), *range(4)]), (0.0005, [*range(5), *range(6)])],
)
def test_seeds_are_added_on_both_sides_only_while_nothing_is_decided(
    tmp_path: Path, gain: float, seeds: list[int]
) -> None:
    def loss_of(table: pa.Table, seed: int) -> float:
        return 3.0 - gain * ("strip_markup" in table["answer"][0].as_py()) - 0.01 * (seed % 3)

    bench = Bench(Storage.at(tmp_path), config=UNDECIDED, loss_of=loss_of)
    bench.evaluator.confirm(Strategy.parse("cleaning"), bench.test)
    assert sorted(job.seed - CONFIRM_SEED_OFFSET - CONFIG.seed for job in bench.training.jobs) == sorted(seeds)
