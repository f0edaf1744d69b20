"""The long-lived training run: its queue as a plain class, and the service on a real local Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import ray
from ray._private.state import actors as actor_table

from actors.models.source import ResolvedModel, resolve_model
from actors.training.job import Advance, TrainJob, TrainOutcome
from actors.training.queue import JobResult, TrainingQueue
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.service import TrainingService
from operators.contract.errors import DivergedError, RunError
from operators.rows.record import RECORD_SCHEMA

RECIPE = TrainingRecipe(
    lora=LoraRecipe(rank=4, num_top_layers=1),
    learning_rate=1e-2,
    batch_size=4,
    budget="steps",
    steps=4,
    max_length=64,
    num_cpus_per_worker=0.5,
)

ADVANCES: list[tuple[str, Advance]] = []
"""What the shared service has said."""
NOWHERE = ResolvedModel(source="/nowhere/at/all", revision="none")


def table(num_rows: int, *, prefix: str = "r") -> pa.Table:
    rows = [
        {"id": f"{prefix}{at}", "history": [], "question": f"what is {at}", "answer": f"it is {at} and a doctor"}
        for at in range(num_rows)
    ]
    return pa.Table.from_pylist([{**row, "origin": "source"} for row in rows], schema=RECORD_SCHEMA)


def job(model: Path | ResolvedModel = NOWHERE, *, seed: int = 1, recipe: TrainingRecipe = RECIPE) -> TrainJob:
    evaluation = {"held_out": table(5, prefix="h")}
    found = model if isinstance(model, ResolvedModel) else resolve_model(str(model))
    return TrainJob(model=found, recipe=recipe, seed=seed, train=table(9), evaluation=evaluation)


def outcome() -> TrainOutcome:
    return TrainOutcome(
        evaluation={}, num_rows=1, num_steps=1, left_out={}, num_truncated=0, train_losses=(1.0,), seconds={}
    )


def in_a_loop(scenario: Callable[[TrainingQueue], Coroutine[object, object, None]]) -> None:
    async def run() -> None:
        await asyncio.wait_for(scenario(TrainingQueue(max_deaths=2, agree_within_s=0.05)), timeout=5)

    asyncio.run(run())


def spawn(work: Awaitable[JobResult]) -> asyncio.Future[JobResult]:
    return asyncio.ensure_future(work)


def test_jobs_go_to_the_group_in_order_and_results_come_back() -> None:
    async def scenario(queue: TrainingQueue) -> None:
        await queue.open_group("g")
        pending = [spawn(queue.run(job(seed=seed))) for seed in (1, 2)]
        for place, seed in enumerate((1, 2)):
            taken = await queue.take("g", place)
            assert taken is not None
            assert taken.seed == seed
            assert await queue.report("g", place, 0, JobResult(outcome=outcome()), num_ranks=1)
        assert [(await one).outcome for one in pending] == [outcome(), outcome()]

    in_a_loop(scenario)


def test_every_rank_is_handed_the_same_job_and_no_rank_runs_ahead() -> None:
    async def scenario(queue: TrainingQueue) -> None:
        await queue.open_group("g")
        pending = [spawn(queue.run(job(seed=seed))) for seed in (1, 2)]
        first = [await queue.take("g", 0) for _rank in range(2)]
        assert [one.seed for one in first if one] == [1, 1]
        ahead = asyncio.ensure_future(queue.take("g", 1))
        await asyncio.sleep(0.02)
        assert not ahead.done()
        done = JobResult(outcome=outcome())
        assert await asyncio.gather(*(queue.report("g", 0, rank, done, num_ranks=2) for rank in range(2))) == [True] * 2
        taken = await ahead
        assert taken is not None
        assert taken.seed == 2
        assert (await pending[0]).outcome == outcome()

    in_a_loop(scenario)


def test_a_failure_on_every_rank_ends_the_job_and_not_the_group() -> None:
    async def scenario(queue: TrainingQueue) -> None:
        await queue.open_group("g")
        pending = spawn(queue.run(job()))
        await queue.take("g", 0)
        bad = JobResult(failure="no rows")
        assert await asyncio.gather(*(queue.report("g", 0, rank, bad, num_ranks=2) for rank in range(2))) == [True] * 2
        assert (await pending).failure == "no rows"

    in_a_loop(scenario)


def test_a_failure_on_one_rank_alone_ends_the_group() -> None:
    async def scenario(queue: TrainingQueue) -> None:
        await queue.open_group("g")
        pending = spawn(queue.run(job()))
        await queue.take("g", 0)
        assert not await queue.report("g", 0, 1, JobResult(failure="rank 1 only"), num_ranks=2)
        assert (await pending).failure == "rank 1 only"

    in_a_loop(scenario)


def test_a_job_of_a_dead_group_goes_to_the_next_one_within_the_bound() -> None:
    async def scenario(queue: TrainingQueue) -> None:
        pending = spawn(queue.run(job()))
        for group in ("first", "second"):
            await queue.open_group(group)
            assert await queue.take(group, 0) is not None
        assert not pending.done()
        await queue.open_group("third")
        failure = (await pending).failure
        assert failure is not None
        assert "died 2 times" in failure
        assert await queue.take("first", 0) is None

    in_a_loop(scenario)


def test_how_far_a_job_is_is_known_by_its_name_until_it_is_done() -> None:
    async def scenario(queue: TrainingQueue) -> None:
        await queue.open_group("g")
        pending = [spawn(queue.run(job(), name)) for name in ("first", "second")]
        await queue.take("g", 0)
        far = Advance(done=3, total=4, unit="steps")
        await queue.advance("g", 0, far)
        await queue.advance("a group that is gone", 0, Advance(done=1, total=4, unit="steps"))
        assert [await queue.advance_of(name) for name in ("first", "second")] == [far, None]
        assert await queue.report("g", 0, 0, JobResult(outcome=outcome()), num_ranks=1)
        await pending[0]
        await queue.advance("g", 0, far)  # on its way when the job ended
        assert await queue.advance_of("first") is None
        await queue.close()
        await pending[1]

    in_a_loop(scenario)


def test_closing_ends_ranks_and_fails_what_waits() -> None:
    async def scenario(queue: TrainingQueue) -> None:
        await queue.open_group("g")
        idle = asyncio.ensure_future(queue.take("g", 0))
        await asyncio.sleep(0)
        await queue.close()
        assert await idle is None
        assert (await queue.run(job())).failure == "the training service is closed"

    in_a_loop(scenario)


def test_a_group_that_will_not_come_back_fails_every_job() -> None:
    async def scenario(queue: TrainingQueue) -> None:
        await queue.open_group("g")
        pending = [spawn(queue.run(job())) for _ in range(2)]
        await queue.take("g", 0)
        await queue.fail_all("no workers")
        assert [(await one).failure for one in pending] == ["no workers", "no workers"]

    in_a_loop(scenario)


@pytest.fixture(scope="module")
def service(local_ray: None, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainingService]:
    storage = tmp_path_factory.mktemp("trainings")
    running = TrainingService(
        RECIPE, storage_path=str(storage), on_advance=lambda label, advance: ADVANCES.append((label, advance))
    )
    yield running
    running.close()


def without_clock(found: TrainOutcome) -> TrainOutcome:
    return replace(found, seconds={})


def alive() -> dict[str, dict[str, object]]:
    """Living actors by id, as the cluster's own table has them."""
    return {actor: entry for actor, entry in actor_table().items() if entry["State"] == "ALIVE"}


def worker_pids() -> list[int]:
    pids = (entry["Pid"] for entry in alive().values() if entry["ActorClassName"] == "RayTrainWorker")
    return [pid for pid in pids if isinstance(pid, int)]


@pytest.mark.ray
def test_a_service_that_trains_nothing_starts_nothing(local_ray: None, tmp_path: Path) -> None:
    before = alive()
    TrainingService(RECIPE, storage_path=str(tmp_path)).close()
    assert alive() == before


@pytest.mark.ray
def test_the_service_gives_equal_outcomes_for_equal_jobs_and_starts_no_worker_for_later_ones(
    service: TrainingService, tiny_model: Path
) -> None:
    first = service.run(job(tiny_model))
    pids = worker_pids()
    again = service.run(job(tiny_model))
    assert without_clock(again) == without_clock(first)
    assert worker_pids() == pids


@pytest.mark.ray
def test_jobs_from_many_threads_all_get_their_own_outcome(service: TrainingService, tiny_model: Path) -> None:
    seeds = [1, 2, 3]
    with ThreadPoolExecutor(max_workers=3) as pool:
        outcomes = list(pool.map(lambda seed: service.run(job(tiny_model, seed=seed)), seeds))
    assert len({one.train_losses for one in outcomes}) == 3
    assert without_clock(outcomes[0]) == without_clock(service.run(job(tiny_model, seed=1)))


@pytest.mark.ray
def test_a_job_that_raises_fails_alone(service: TrainingService, tiny_model: Path) -> None:
    pids = worker_pids()
    with pytest.raises(RunError, match="no complete row to train on"):
        service.run(replace(job(tiny_model), train=RECORD_SCHEMA.empty_table()))
    with pytest.raises(DivergedError, match="try a lower one"):
        service.run(job(tiny_model, recipe=RECIPE.model_copy(update={"learning_rate": 1e30})))
    with pytest.raises(RunError, match="the training failed"):
        service.run(job())
    assert service.run(job(tiny_model)).num_steps == RECIPE.steps
    assert worker_pids() == pids


@pytest.mark.ray
def test_a_killed_worker_goes_on_from_its_checkpoint_and_ends_at_the_same_loss(
    service: TrainingService, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.training.service.WATCH_S", 0.2)
    long = replace(job(tiny_model, recipe=RECIPE.model_copy(update={"steps": 400})), label="long")
    expected = service.run(replace(long, checkpoint_folder=str(tmp_path / "unbroken")))
    said = [advance for label, advance in ADVANCES if label == "long"]
    steps = [advance.done for advance in said if (advance.total, advance.unit) == (400, "steps")]
    assert steps, "a training of several seconds says how far it is"
    assert steps == sorted(steps)
    folder = tmp_path / "broken"
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(service.run, replace(long, checkpoint_folder=str(folder)))
        deadline = time.monotonic() + 60
        while not list(folder.glob("checkpoint-*/trainer_state.json")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (pid,) = worker_pids()
        os.kill(pid, signal.SIGKILL)
        resumed = pending.result(timeout=240)
    assert worker_pids() != [pid]
    assert resumed.train_losses == pytest.approx(expected.train_losses, rel=1e-5)
    assert resumed.evaluation["held_out"].nll_sums == pytest.approx(expected.evaluation["held_out"].nll_sums, rel=1e-5)


@pytest.mark.slow
@pytest.mark.ray
def test_an_elastic_group_trains_with_the_workers_that_have_room(
    local_ray: None, tiny_model: Path, service: TrainingService, tmp_path: Path
) -> None:
    alone = service.run(job(tiny_model))
    elastic = RECIPE.model_copy(update={"num_workers": 2, "min_workers": 1, "num_cpus_per_worker": 2.0})
    small = TrainingService(elastic, storage_path=str(tmp_path))
    try:
        found = small.run(job(tiny_model, recipe=elastic))
        assert len(worker_pids()) == 2, "one worker of the elastic group beside the shared service's own"
    finally:
        small.close()
    assert found.train_losses == pytest.approx(alone.train_losses, rel=1e-4)


@pytest.mark.slow
@pytest.mark.ray
def test_two_ranks_give_what_one_gives_and_close_leaves_nothing(
    local_ray: None, tiny_model: Path, service: TrainingService, tmp_path: Path
) -> None:
    alone = service.run(replace(job(tiny_model), max_answer_tokens=6))
    threads = set(threading.enumerate())
    before = set(alive())
    two = RECIPE.model_copy(update={"num_workers": 2})
    pair = TrainingService(two, storage_path=str(tmp_path))
    try:
        together = pair.run(replace(job(tiny_model, recipe=two), max_answer_tokens=6))
        with pytest.raises(RunError, match="no complete row"):
            pair.run(replace(job(tiny_model, recipe=two), train=RECORD_SCHEMA.empty_table()))
        with pytest.raises(RunError, match="wants 1 workers, the service has 2"):
            pair.run(job(tiny_model))
        again = pair.run(replace(job(tiny_model, recipe=two), max_answer_tokens=6))
    finally:
        pair.close()
    assert together.train_losses == pytest.approx(alone.train_losses, rel=1e-4)
    assert together.evaluation["held_out"].nll_sums == pytest.approx(alone.evaluation["held_out"].nll_sums, rel=1e-3)
    assert together.answers == alone.answers
    assert without_clock(again) == without_clock(together)
    with pytest.raises(RunError, match="closed"):
        pair.run(job(tiny_model, recipe=two))
    deadline = time.monotonic() + 20
    while left := set(alive()) - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    assert not [thread for thread in set(threading.enumerate()) - threads if thread.name == "training-group"]


@pytest.mark.ray
def test_a_service_that_cannot_start_tells_who_waits(local_ray: None, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    broken = TrainingService(RECIPE, storage_path=str(tmp_path / "file" / "below"))
    try:
        with pytest.raises(RunError, match="no training workers"):
            broken.run(job(tiny_model))
    finally:
        broken.close()


@pytest.mark.ray
def test_an_outcome_crosses_processes_unchanged(local_ray: None) -> None:
    assert ray.get(ray.put(outcome())) == outcome()
