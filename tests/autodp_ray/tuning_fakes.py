"""What tests of the final fine-tuning share: trainings that are not done, and the calls with their defaults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from actors.models.source import ResolvedModel
from actors.storage.storage import Storage
from actors.training.job import ItemLosses, TrainJob, TrainOutcome, read_rows
from actors.training.recipe import TrainingRecipe
from autodp_ray.applying.accounts import Applied
from autodp_ray.applying.apply import apply_run, prepare_application
from autodp_ray.cluster.ray import Cluster
from autodp_ray.progress import Silent
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.scoring.training_scores import TrainFn
from autodp_ray.tuning.tune import tune_run
from autodp_ray.tuning.tuned import Tuned
from autodp_ray.tuning.tuning import Tuning, prepare_tuning
from operators.contract.errors import RunError
from tests.autodp_ray.run_fakes import FakeRecipe

CLUSTER = Cluster(is_own=True, num_nodes=1, num_cpus=4, num_gpus=0, hosts=frozenset())
NUM_TRAIN, NUM_TEST = 22, 8
MakeRun = Callable[..., OpenRun]


@dataclass
class FakeTrainers:
    """Trains nothing: writes an adapter of one byte, and scores half as much loss after a training as before."""

    jobs: list[TrainJob] = field(default_factory=list)
    storage: list[str] = field(default_factory=list)
    dies: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)

    @contextmanager
    def __call__(self, model: ResolvedModel, recipe: TrainingRecipe, storage_path: str) -> Iterator[TrainFn]:
        self.storage.append(storage_path)
        yield self.train

    def train(self, job: TrainJob) -> TrainOutcome:
        self.jobs.append(job)
        if job.train is not None and self.dies:
            assert job.checkpoint_folder is not None
            for name, last in (("checkpoint-10", "trainer_state.json"), ("checkpoint-20", "optimizer.pt")):
                Storage.at(job.checkpoint_folder).write_text(f"{name}/{last}", "{}")
            raise RunError("the training failed: its workers died 2 times")
        if job.export_folder is not None:
            folder = Storage.at(job.export_folder)
            folder.write_text("adapter_config.json", json.dumps({"base_model_name_or_path": job.model.path, "r": 2}))
            folder.write_text("adapter_model.safetensors", "1")
        loss = 2.0 if job.train is None else 1.0
        ids = tuple(read_rows(job.evaluation["test"])["id"].to_pylist())
        return TrainOutcome(
            evaluation={
                "test": ItemLosses(
                    ids=ids,
                    nll_sums=tuple(10 * loss for _ in ids),
                    num_tokens=(10,) * len(ids),
                    left_out=self.left_out,
                )
            },
            num_rows=0 if job.train is None else read_rows(job.train).num_rows,
            num_steps=0 if job.train is None else 33,
            left_out={},
            num_truncated=0,
            train_losses=(),
            seconds={"train": 2.0},
        )

    @property
    def trainings(self) -> list[TrainJob]:
        return [job for job in self.jobs if job.train is not None]


def dropping_two() -> FakeRecipe:
    return FakeRecipe(lambda table, name: table.slice(2), counts={"dropped:short": 2})


def applied(run: OpenRun, **what: object) -> Applied:
    application = prepare_application(run, **what)  # type: ignore[arg-type]
    return apply_run(application, cluster=CLUSTER, progress=Silent())


def tuning(run: OpenRun, model: Path | str = "model", **options: object) -> Tuning:
    return prepare_tuning(run, model=f"./{model}" if model == "model" else str(model), **options)  # type: ignore[arg-type]


def tune(found: Tuning, trainers: FakeTrainers, *, gpu_bytes: int = 0) -> Tuned:
    return tune_run(found, cluster=CLUSTER, progress=Silent(), trainers=trainers, gpu_bytes=lambda num_gpus: gpu_bytes)
