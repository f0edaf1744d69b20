"""Controls with a known outcome: a model tuned on shuffled answers must lose, no processing against itself must not.

The quickstart's conversations without damage, its recipe with more to learn, and its whole train split; the models are
scored on the test rows by their losses and by their answers (`reference`). No agent and no Ray. The same command
resumes.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import torch
from pydantic import TypeAdapter

from actors.models.source import resolve_model
from actors.storage.storage import Storage
from actors.training.job import TrainJob
from actors.training.trainer import FineTuner
from autodp_ray.cluster.ray import storage_locations
from autodp_ray.config.run_config import Config, load_config
from autodp_ray.evaluators.reference import ReferenceGrader
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.sampling.row_embedding import open_embedder
from autodp_ray.sampling.search_sample import RowModels
from autodp_ray.statistics import ItemScores, paired_interval
from benchmarks.protocol import Figures
from operators.rows.content_hash import content_hash

CONFIG = "configs/quickstart.yaml"
SETTINGS = (
    "dataset.corruption=none",
    "splits={guide: 32, validation: 96, test: 64}",
    "training.num_threads=1",
    "training.steps=32",
    "training.learning_rate=5.0e-3",
    "training.lora.num_top_layers=8",
    "evaluation.max_answer_tokens=16",
)
"""So much learning that questions which tell nothing of the answers are unlearnt, and answers that take seconds."""
SMOKE_STEPS = 2
NUM_SEEDS = 3
"""Trainings on each side."""
OTHER_SEEDS = 1000
"""The first seed of the other trainings without processing."""
Scores = Mapping[str, ItemScores]
"""Of one training, by evaluator."""
_SCORES: TypeAdapter[Scores] = TypeAdapter(dict[str, ItemScores])


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Differences on test rows with their intervals, by control and evaluator."""
    size = () if rows is None else (f"dataset.limit={rows}",)
    size = (*size, f"training.steps={SMOKE_STEPS}") if smoke else size
    config = load_config(CONFIG, [*SETTINGS, *size])
    runs, memory = storage_locations(config.storage)
    with tempfile.TemporaryDirectory(prefix="autodp-controls-") as folder:
        kept = Storage.at(folder) if smoke else runs.folder("controls")
        trainer = _Trainer(config, kept, memory)
        train = trainer.prepared.train.read()
        swapped = shuffled(train)
        baseline, wrong, others = zip(
            *(
                (trainer.scores(train, seed), trainer.scores(swapped, seed), trainer.scores(train, OTHER_SEEDS + seed))
                for seed in range(NUM_SEEDS)
            ),
            strict=True,
        )
    return {
        "trainings_on_each_side": NUM_SEEDS,
        "test_rows": trainer.prepared.test.num_rows,
        "shuffled_answers": _differences(wrong, baseline),
        "no_processing_with_other_seeds": _differences(others, baseline),
    }


def shuffled(rows: pa.Table) -> pa.Table:
    """The rows with every answer at another question."""
    order = np.random.default_rng(0).permutation(rows.num_rows)
    moved = np.empty_like(order)
    moved[order] = np.roll(order, 1)
    place = rows.schema.get_field_index("answer")
    return rows.set_column(place, rows.schema.field(place), rows["answer"].take(pa.array(moved)))


class _Trainer:
    """Trains the quickstart's model in this process, and scores it; what the folder's journal has is not done again."""

    def __init__(self, config: Config, folder: Storage, memory: Storage) -> None:
        torch.set_num_threads(config.training.num_threads or math.ceil(config.training.num_cpus_per_worker))
        self._config = config
        self._tuner = FineTuner()
        self._grader = ReferenceGrader(embedder=open_embedder(config.sampling.embedder, memory))
        self._journal = Journal(folder)
        models = RowModels.of(config, memory)
        self.prepared = prepare(config, run=folder, journal=self._journal, progress=Silent(), models=models)

    def scores(self, train: pa.Table, seed: int) -> Scores:
        """Of a training on these rows."""
        job = TrainJob(
            model=resolve_model(self._config.models.tuned.model),
            recipe=self._config.training,
            seed=seed,
            train=train,
            evaluation={"test": self.prepared.test.rows_for_workers()},
            max_answer_tokens=self._config.evaluation.max_answer_tokens,
        )
        key = f"{content_hash(train)} {seed} {job.recipe.model_dump_json()} {job.max_answer_tokens}"
        kept = self._journal.once("control", key, lambda: self._trained(job))
        return _SCORES.validate_python(kept)

    def _trained(self, job: TrainJob) -> dict[str, object]:
        outcome = self._tuner.run(job)
        losses = outcome.evaluation["test"]
        said = dict(zip(losses.ids, outcome.answers["test"], strict=True))
        rows = self.prepared.test.read()
        by_loss = ItemScores(
            ids=losses.ids,
            numerators=tuple(-nll for nll in losses.nll_sums),
            denominators=tuple(map(float, losses.num_tokens)),
        )
        by_answer = self._grader.score(rows, [said[row] for row in rows["id"].to_pylist()], ()).items
        return {"loss": asdict(by_loss), "reference": asdict(by_answer)}


def _differences(ours: Sequence[Scores], theirs: Sequence[Scores]) -> Mapping[str, Mapping[str, float]]:
    found = {}
    for name in ours[0]:
        interval = paired_interval([one[name] for one in ours], [one[name] for one in theirs], seed=0)
        found[name] = {"difference": interval.estimate, "low": interval.low, "high": interval.high}
    return found
