"""Trains strategies of one setting from several seeds, and gathers their scores item by item.

One training of each strategy and seed, scored on validation and test rows at once, by the machinery of a run: in a run
folder and journal of its own, so that the same trainings are not done twice.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np

from actors.data.stored_dataset import StoredDataset
from autodp_ray.cluster.ray import Cluster, storage_locations
from autodp_ray.config.run_config import Config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, prepare
from autodp_ray.progress import PlainLines
from autodp_ray.runs.evaluation import EvaluationInputs
from autodp_ray.sampling.search_sample import RowModels
from autodp_ray.statistics import ItemScores
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator
from autodp_ray.strategy import Strategy
from benchmarks.machine import describe, package_versions
from benchmarks.score_table import ScoredTraining, ScoreTable
from operators.contract.errors import EndpointError, RunError

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class TableMaking:
    """A table under way."""

    setting: str
    """The config and what is set beside it, as the command line says it."""
    command: str
    evaluator: StrategyEvaluator
    prepared: Prepared
    held_out: StoredDataset
    trained: dict[tuple[Strategy, int], ItemScores] = field(default_factory=dict)
    num_failed: int = 0

    @classmethod
    def start(
        cls, config: Config, *, setting: str, command: str, folder: str, cluster: Cluster, stack: ExitStack
    ) -> TableMaking:
        """Prepare the data and start what a run starts; validation and test rows are one dataset here."""
        runs, memory = storage_locations(config.storage)
        run = runs.folder(folder)
        journal, progress = Journal(run), PlainLines(sys.stderr)
        models = RowModels.of(config, memory, connect=lambda: cluster)
        prepared = prepare(config, run=run, journal=journal, progress=progress, models=models)
        both = [prepared.validation.read(), prepared.test.read()]
        held_out = StoredDataset.write(run.folder("held_out"), both)
        inputs = EvaluationInputs(
            config=config,
            prepared=replace(prepared, validation=held_out),
            run=run,
            run_id=folder,
            cache=memory,
            journal=journal,
            progress=progress,
        )
        evaluator = inputs.start(lambda: cluster, stack).evaluator
        return cls(setting=setting, command=command, evaluator=evaluator, prepared=prepared, held_out=held_out)

    def train(self, strategy: Strategy, seeds: Sequence[int]) -> None:
        """The trainings of one strategy; one that cannot be run is counted, and has no score."""
        try:
            (items,) = self.evaluator.trained([strategy], self.held_out, seeds=seeds)
        except (EndpointError, RunError) as error:
            log.warning("%s has no score: %s", strategy, error)
            self.num_failed += 1
            return
        self.trained |= {(strategy, seed): one for seed, one in zip(seeds, items, strict=True)}

    def table(self) -> ScoreTable:
        """What is there so far."""
        validation, test = (
            split.read(["id"])["id"].to_pylist() for split in (self.prepared.validation, self.prepared.test)
        )
        ids = [*validation, *test]
        place = {key: at for at, key in enumerate(next(iter(self.trained.values())).ids)}
        order = [place[key] for key in ids]
        return ScoreTable(
            trainings=tuple(
                ScoredTraining(strategy=strategy, seed=seed, numerators=np.asarray(items.numerators)[order])
                for (strategy, seed), items in self.trained.items()
            ),
            denominators=np.asarray(next(iter(self.trained.values())).denominators)[order],
            num_validation=self.prepared.validation.num_rows,
            made={
                "command": self.command,
                "setting": self.setting,
                "machine": json.dumps(describe()),
                "versions": json.dumps(dict(package_versions())),
            },
        )
