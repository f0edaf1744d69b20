"""A comparison on real small data, with stand-ins for Ray's part: no models, and losses that the rows' tags decide."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from actors.training.job import TrainJob, TrainOutcome
from autodp_ray.cluster.ray import Cluster
from autodp_ray.comparing import compare as comparing
from autodp_ray.comparing import finals as comparing_finals
from autodp_ray.comparing.compare import open_comparison, run_comparison
from autodp_ray.comparing.comparison import Comparison
from autodp_ray.comparing.options import CompareOptions
from autodp_ray.progress import Silent
from autodp_ray.runs import evaluation as run_evaluation
from autodp_ray.runs.services import Services
from autodp_ray.strategies.processing import Processor
from tests.autodp_ray.run_fakes import (
    RESOURCES,
    FakeRecipe,
    FakeTraining,
    cache_here,
    config_values,
    model_folder,
    pair,
    write_jsonl,
)

CLUSTER = Cluster(is_own=True, num_nodes=1, num_cpus=4, num_gpus=0, hosts=frozenset())
GAINS = {"strip_markup": 0.5, "optimize_pair": -0.2, "generate_question": 0.1, "select_by_gradient": -0.3}
"""What the first operator of each team takes off the loss."""


def loss(table: pa.Table, seed: int) -> float:
    answers = table["answer"]
    gains = [gain for name, gain in GAINS.items() if pc.any(pc.match_substring(answers, name)).as_py()]
    return 3.0 - sum(gains) + 0.001 * (seed % 2)


class Trainer(FakeTraining):
    """Stands in for `TrainingService`; may be told to be interrupted at its n-th training."""

    def __init__(self) -> None:
        super().__init__(loss)
        self.interrupted_at: int | None = None

    def run(self, job: TrainJob) -> TrainOutcome:
        if len(self.jobs) == self.interrupted_at:
            raise KeyboardInterrupt
        return self(job)

    def warm_up(self, model: object) -> None: ...

    def close(self) -> None: ...


class Lab:
    """A config on disk, and comparisons of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.trainer, self.recipe = Trainer(), FakeRecipe()
        monkeypatch.chdir(folder)
        write_jsonl(folder / "data.jsonl", [pair(number) for number in range(60)])
        model_folder(folder)
        shutil.copytree("model", "model2")
        # One worker: a comparison that is interrupted in this process leaves no training under way.
        search = {"num_strategies": 2, "max_rounds": 2, "max_concurrency": 1}
        sections = {"search": search, "evaluation": {"bootstrap_samples": 100}}
        values = config_values("data.jsonl", **sections)
        models = values["models"]
        assert isinstance(models, dict)
        models["tuned"] = {"model": "./model"}
        Path("quick.yaml").write_text(yaml.safe_dump(values))
        self._stand_in(monkeypatch)

    def _stand_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        @contextmanager
        def started(*given: object, **named: object) -> Iterator[Services]:
            yield Services(resources=RESOURCES, agent=None, evaluator_models={})

        nothing: Callable[..., None] = lambda *given, **named: None  # noqa: E731
        for module in (run_evaluation, comparing_finals):
            monkeypatch.setattr(module, "open_strategy_cache", cache_here)
            monkeypatch.setattr(module, "started", started)
        for name in ("require_endpoints", "require_operators", "influence_inputs"):
            monkeypatch.setattr(run_evaluation, name, nothing)
        for module in (comparing, comparing_finals):
            monkeypatch.setattr(module, "require_endpoints", nothing)
        monkeypatch.setattr(run_evaluation, "TrainingService", lambda recipe, **named: self.trainer)
        monkeypatch.setattr(run_evaluation, "Processor", partial(Processor, apply_recipe=self.recipe))

    def compare(self, output: str = "out", **options: object) -> Comparison:
        asked = {"policies": "all,random,surrogate", "final_seeds": 2, **options}
        opened = open_comparison(CompareOptions(config_path="quick.yaml", output=output, **asked))  # type: ignore[arg-type]
        return run_comparison(opened, progress=Silent(), connect=self._connect)

    @contextmanager
    def _connect(self) -> Iterator[Cluster]:
        yield CLUSTER


def timeless(found: Comparison) -> dict[str, object]:
    """A comparison without what no two have in common."""
    return found.model_dump(exclude={"seconds"})
