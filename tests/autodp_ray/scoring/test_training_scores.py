"""One training and its scores: done once per key, kept per item, never taken from another's."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from actors.cache.cache import StrategyCache
from actors.cache.store import StrategyStore
from actors.data.stored_dataset import StoredDataset
from actors.models.source import ResolvedModel
from actors.storage.storage import Storage
from actors.training.job import ItemLosses, TrainJob, TrainOutcome
from actors.training.recipe import TrainingRecipe
from autodp_ray.journal import Journal
from autodp_ray.scoring.training_scores import TRAINING, Scored, Scorer, Training
from autodp_ray.statistics import score
from autodp_ray.strategies.workers import Worker, run_all
from operators.contract.errors import DivergedError, RunError
from tests.autodp_ray.run_fakes import FakeTraining, cache_client, make_scorer, stored


def loss_of_rows(table: pa.Table, seed: int) -> float:
    return 3.0 - 0.1 * len(table) + 0.01 * seed


def on(dataset: StoredDataset, held_out: StoredDataset, *, seed: int = 0) -> Training:
    return Training(dataset=dataset, held_out=held_out, seed=seed)


def outcome(losses: ItemLosses) -> TrainOutcome:
    return TrainOutcome(
        evaluation={"held_out": losses},
        num_rows=1,
        num_steps=1,
        left_out={},
        num_truncated=0,
        train_losses=(1.0,),
        seconds={},
    )


def scorer_of(root: Storage, losses: ItemLosses) -> Scorer:
    def train(job: TrainJob) -> TrainOutcome:
        return outcome(losses)

    return Scorer(
        run_id="run-1",
        train=train,
        model=ResolvedModel(source="/m", revision="m@1"),
        recipe=TrainingRecipe(),
        cache=cache_client(root),
        journal=Journal(root.folder("run")),
    )


def test_the_score_is_minus_the_mean_loss_of_a_token(tmp_path: Path) -> None:
    root = Storage.at(tmp_path)
    data, held_out = stored(root.folder("in"), ["a"]), stored(root.folder("v"), ["x", "y"])
    losses = ItemLosses(ids=("r0", "r1"), nll_sums=(4.0, 12.0), num_tokens=(2, 6))
    scored = scorer_of(root, losses).score(on(data, held_out))
    assert scored.items.numerators == (-4.0, -12.0)
    assert score(scored.items) == -2.0


def test_a_training_is_done_once_per_data_held_out_rows_and_seed(tmp_path: Path) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    scorer = make_scorer(root, training)
    data, other = stored(root.folder("a"), ["a"]), stored(root.folder("b"), ["a", "b"])
    validation, test = stored(root.folder("v"), ["x"]), stored(root.folder("t"), ["y"])
    for _ in range(2):
        for train_rows, held_out, seed in (
            (data, validation, 0),
            (data, validation, 1),
            (data, test, 0),
            (other, test, 0),
        ):
            scorer.score(on(train_rows, held_out, seed=seed))
    assert [job.seed for job in training.jobs] == [0, 1, 0, 0]
    assert Journal(root.folder("run")).count(TRAINING) == 4


def test_it_is_known_beforehand_whether_a_score_costs_a_training(tmp_path: Path) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    data, held_out = stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x"])
    scorer = make_scorer(root, training, run_id="one", run="one")
    assert not scorer.knows(on(data, held_out))
    assert not training.jobs
    scorer.score(on(data, held_out))
    another_run = make_scorer(root, training, run_id="two", run="two")
    root.delete("cache")
    assert scorer.knows(on(data, held_out)), "by its journal"
    assert not another_run.knows(on(data, held_out))
    scorer.score(on(data, held_out, seed=1))
    another_run.score(on(data, held_out, seed=1))
    assert another_run.knows(on(data, held_out, seed=1)), "by the cache"
    assert not another_run.knows(on(data, held_out, seed=2))


def test_a_suffix_that_changes_nothing_costs_no_training(tmp_path: Path) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    scorer, held_out = make_scorer(root, training), stored(root.folder("v"), ["x"])
    first = scorer.score(on(stored(root.folder("a"), ["a"]), held_out))
    second = scorer.score(on(stored(root.folder("b"), ["a"]), held_out))
    assert second.items == first.items
    assert len(training.jobs) == 1


def test_another_run_takes_the_score_from_the_cache_and_says_so(tmp_path: Path) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    data, held_out = stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x", "y"])
    first = make_scorer(root, training, run_id="one", run="one").score(on(data, held_out))
    other = make_scorer(root, training, run_id="two", run="two").score(on(data, held_out))
    assert (first.executed, other.executed) == (True, False)
    assert other.items == first.items
    (event,) = Journal(root.folder("two"))
    assert event.payload["executed"] is False


def test_a_resumed_run_needs_the_journal_alone(tmp_path: Path) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    data, held_out = stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x"])
    first = make_scorer(root, training).score(on(data, held_out))
    root.delete("cache")
    again = make_scorer(root, training).score(on(data, held_out))
    assert again.record == first.record
    assert len(training.jobs) == 1


def test_a_failed_training_is_neither_cached_nor_journaled(tmp_path: Path) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    scorer = make_scorer(root, training)
    data, held_out = stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x"])
    training.failing = RunError("out of memory")
    with pytest.raises(RunError, match="out of memory"):
        scorer.score(on(data, held_out))
    assert root.names("cache/scores") == []
    assert list(Journal(root.folder("run"))) == []
    training.failing = None
    assert scorer.score(on(data, held_out)).executed


@pytest.mark.parametrize("damaged", ["a", "v"])
def test_damaged_rows_are_neither_trained_on_nor_scored(tmp_path: Path, damaged: str) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    scorer = make_scorer(root, training)
    data, held_out = stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x"])
    part = tmp_path / damaged / "part-000000.arrow"
    whole = part.read_bytes()
    middle = len(whole) // 2
    part.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    with pytest.raises(RunError, match=rf"{damaged}/part-000000\.arrow is damaged"):
        scorer.score(on(data, held_out))
    assert training.jobs == []
    assert root.names("cache/scores") == []
    assert list(Journal(root.folder("run"))) == []
    part.write_bytes(whole)
    assert scorer.score(on(data, held_out)).executed


def test_held_out_rows_that_cannot_be_scored_are_a_fault_with_a_way_out(tmp_path: Path) -> None:
    root = Storage.at(tmp_path)
    losses = ItemLosses(ids=("r0",), nll_sums=(1.0,), num_tokens=(2,), left_out={"too long": 1})
    with pytest.raises(RunError, match=r"1 of 2 held-out rows cannot be scored .*too long.*training\.max_length"):
        scorer_of(root, losses).score(on(stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x", "y"])))


@pytest.mark.parametrize("nll", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_a_failed_training_and_stays_out_of_the_cache(tmp_path: Path, nll: float) -> None:
    root = Storage.at(tmp_path)
    losses = ItemLosses(ids=("r0",), nll_sums=(nll,), num_tokens=(2,))
    with pytest.raises(DivergedError, match="diverged"):
        scorer_of(root, losses).score(on(stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x"])))
    assert root.names("cache/scores") == []


def test_a_cached_score_that_cannot_be_read_is_computed_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    data, held_out = stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x"])
    first = make_scorer(root, training, run="one").score(on(data, held_out))
    (name,) = root.names("cache/scores")
    root.write_text(f"cache/scores/{name}", '{"run_id": "run-1"')
    with caplog.at_level(logging.WARNING):
        again = make_scorer(root, training, run="two").score(on(data, held_out))
    assert again.items == first.items
    assert len(training.jobs) == 2
    assert name.removesuffix(".json") in caplog.text


def test_drivers_at_the_same_moment_train_once(tmp_path: Path) -> None:
    root, shared = Storage.at(tmp_path), StrategyCache(str(tmp_path / "cache"))
    data, held_out = stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x"])
    begun, go_on = threading.Event(), threading.Event()

    def slow(table: pa.Table, seed: int) -> float:
        begun.set()
        assert go_on.wait(20)
        return 1.0

    training = FakeTraining(slow)
    scorers = [make_scorer(root, training, run_id=run, run=run, cache=shared) for run in ("one", "two")]

    def second(worker: Worker) -> Scored:
        assert begun.wait(20)
        return scorers[1].score(
            Training(dataset=data, held_out=held_out, seed=0, release_worker=lambda: worker_lent(worker))
        )

    @contextmanager
    def worker_lent(worker: Worker) -> Iterator[None]:
        go_on.set()
        with worker.released():
            yield

    found = run_all([lambda worker: scorers[0].score(on(data, held_out)), second], num_workers=2)
    assert len(training.jobs) == 1
    assert found[0].items == found[1].items
    assert [one.executed for one in found] == [True, False]


def test_a_score_that_another_version_of_the_code_wrote_is_computed_again(tmp_path: Path) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    data, held_out = stored(root.folder("a"), ["a"]), stored(root.folder("v"), ["x"])
    make_scorer(root, training, run="one").score(on(data, held_out))
    (name,) = root.names("cache/scores")
    StrategyStore(root.folder("cache")).record_score(name.removesuffix(".json"), '{"newer": true}')
    make_scorer(root, training, run="two").score(on(data, held_out))
    assert len(training.jobs) == 2


def test_a_record_holds_ids_and_numbers_and_no_text(tmp_path: Path) -> None:
    root, training = Storage.at(tmp_path), FakeTraining(loss_of_rows)
    data, held_out = stored(root.folder("a"), ["canary-a"]), stored(root.folder("v"), ["canary-v"])
    make_scorer(root, training).score(on(data, held_out))
    (event,) = Journal(root.folder("run"))
    (name,) = root.names("cache/scores")
    assert "canary" not in str(event) + root.read_text(f"cache/scores/{name}")
