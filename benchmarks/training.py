"""What an evaluation in the quickstart spends on anything but training and validation, and what packing saves.

Cold: a group of Ray Train workers for each training. Warm: one group that lives on and takes trainings from a queue, as
a run does it; its first training fills the memory of the lower layers' outputs and is shown apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from actors.data.stored_dataset import StoredDataset
from actors.models.source import resolve_model
from actors.storage.scratch import scratch_folder
from actors.storage.storage import Storage
from actors.training.chat_rows import ChatEncoder, Example
from actors.training.job import TrainJob
from actors.training.micro_batches import micro_batches
from actors.training.packed_batch import token_nll
from actors.training.recipe import TrainingRecipe
from actors.training.service import TrainingService
from actors.training.tuned_model import Trainable, TunedModel
from autodp_ray.cluster.ray import connected
from autodp_ray.config.run_config import Config, load_config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.sampling.search_sample import RowModels
from benchmarks.protocol import Figures
from benchmarks.repeated import MIN_RUNS, rate, spread

CONFIG = "configs/quickstart.yaml"
WORK = ("train", "evaluate")
"""Phases of a training that are forward, backward, step and validation."""
SMOKE_STEPS = 2


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """The share of overhead before and after warm starts, and the speed of packed batches beside padded ones."""
    config = load_config(CONFIG, [] if rows is None else [f"dataset.limit={rows}"])
    if smoke:
        config = config.model_copy(update={"training": config.training.model_copy(update={"steps": SMOKE_STEPS})})
    with scratch_folder() as folder, connected():
        storage = Storage.at(folder)
        job = _job(config, storage)
        cold, warm = cold_starts(job, storage), warm_starts(job, storage)
        packing = packed_and_padded(job, folder)
    return {"rows": rows or config.dataset.limit, "cold": cold, "warm": warm, "packing": packing}


def cold_starts(job: TrainJob, storage: Storage) -> Figures:
    """Each training on workers of its own."""
    shares = []
    for _ in range(MIN_RUNS):
        started = time.perf_counter()
        with _service(job, storage) as service:
            outcome = service.run(job)
        shares.append(_overhead(outcome.seconds, time.perf_counter() - started))
    return _figures(shares)


def warm_starts(job: TrainJob, storage: Storage) -> Figures:
    """All trainings on one group of workers."""
    with _service(job, storage) as service:
        service.run(job)
        shares = []
        for _ in range(MIN_RUNS):
            started = time.perf_counter()
            outcome = service.run(job)
            shares.append(_overhead(outcome.seconds, time.perf_counter() - started))
    return _figures(shares)


def packed_and_padded(job: TrainJob, folder: Path) -> Figures:
    """Tokens per CPU second of forward and backward passes: rows side by side, padded, or padded by like length."""
    tuned = TunedModel(job.model.path, job.recipe)
    encoder = ChatEncoder(tuned.tokenizer, max_length=job.recipe.max_length)
    table = StoredDataset.open(Storage.at(folder / "splits" / "sample"))
    assert table is not None
    examples = encoder.encode(table.read()).examples
    steps = [micro.examples for micro in micro_batches(examples, recipe=job.recipe, seed=job.seed, world_size=1)]
    seen = sorted((one for step in steps for one in step), key=lambda one: len(one.tokens))
    size = job.recipe.micro_batch_size
    by_length = [tuple(seen[start : start + size]) for start in range(0, len(seen), size)]
    num_tokens = sum(len(one.tokens) for one in seen)
    with tuned.trainable(job.recipe, seed=job.seed, num_tokens=0, whole=True) as trainable:
        modes = {"packed": (steps, trainable.capacity), "padded": (steps, 0), "grouped_by_length": (by_length, 0)}
        runs = [
            {name: _passes(trainable, batches, capacity=capacity) for name, (batches, capacity) in modes.items()}
            for _ in range(1 + MIN_RUNS)
        ][1:]  # the first one warms up; the modes take turns, so that none is always the first
    losses = [loss for one in runs for loss, _ in one.values()]
    speeds = {name: rate(num_tokens, spread([one[name][1] for one in runs])) for name in modes}
    return {
        "tokens_per_cpu_s": speeds,
        "packed_over_padded": speeds["packed"]["median"] / speeds["padded"]["median"],
        "packed_over_grouped_by_length": speeds["packed"]["median"] / speeds["grouped_by_length"]["median"],
        "loss_difference_frac": (max(losses) - min(losses)) / min(losses),
    }


def _passes(trainable: Trainable, batches: Sequence[Sequence[Example]], *, capacity: int) -> tuple[float, float]:
    """The sum of all answer tokens' NLL, and the CPU seconds of all passes."""
    shaped = Trainable(
        model=trainable.model, whole=trainable.whole, pad=trainable.pad, capacity=capacity, lower=trainable.lower
    )
    total, started = 0.0, time.process_time()
    for examples in batches:
        batch = shaped.batch(examples)
        loss = token_nll(shaped.model(**batch.inputs, use_cache=False).logits, batch.labels).sum()
        torch.autograd.backward(loss)
        total += float(loss.detach())
    return total, time.process_time() - started


def _job(config: Config, storage: Storage) -> TrainJob:
    prepared = prepare(
        config, run=storage, journal=Journal(storage), progress=Silent(), models=RowModels.of(config, storage)
    )
    recipe: TrainingRecipe = config.training
    return TrainJob(
        model=resolve_model(config.models.tuned.model),
        recipe=recipe,
        seed=0,
        train=prepared.sample.rows_for_workers(),
        evaluation={"held_out": prepared.validation.rows_for_workers()},
    )


@contextmanager
def _service(job: TrainJob, storage: Storage) -> Iterator[TrainingService]:
    service = TrainingService(job.recipe, storage_path=storage.uri("training"))
    try:
        yield service
    finally:
        service.close()


def _overhead(seconds: Mapping[str, float], wall_s: float) -> tuple[float, float]:
    """(share of the wall time that is no work, wall seconds)."""
    return 1 - sum(seconds[name] for name in WORK) / wall_s, wall_s


def _figures(shares: Sequence[tuple[float, float]]) -> Figures:
    return {
        "overhead_frac": spread([share for share, _ in shares]),
        "wall_s": spread([wall_s for _, wall_s in shares]),
    }
