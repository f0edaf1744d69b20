"""Scores of every strategy of the quickstart from several seeds, by item: what searches and claims are replayed on.

One training of each strategy and seed, scored on validation and test rows at once, by the machinery of a run: in a run
folder and journal of its own, so the same command goes on where it stopped. The unprocessed sample is trained on from
more seeds, since it is the noise. The baseline and the strategies of three teams come first, and what is there is
written down again and again, so that a table that was stopped can be used.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import connected, storage_locations
from autodp_ray.config.run_config import Config, load_config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, prepare
from autodp_ray.progress import PlainLines
from autodp_ray.runs.evaluation import EvaluationInputs
from autodp_ray.sampling.search_sample import RowModels
from autodp_ray.statistics import ItemScores
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator
from autodp_ray.strategy import NONE, Strategy, strategy_space
from benchmarks.machine import describe, package_versions
from benchmarks.protocol import Figures
from benchmarks.score_table import ScoredTraining, ScoreTable, write_table
from operators.contract.errors import EndpointError, RunError

log = logging.getLogger(__name__)

CONFIG = "configs/quickstart.yaml"
ONE_THREAD = "training.num_threads=1"
FIRST_TEAMS = frozenset({"cleaning", "optimization", "selection"})
"""All strategies of these are trained before the others: a space that is whole by itself."""
NUM_SEEDS, NUM_BASELINE_SEEDS, SMOKE_BASELINE_SEEDS = 3, 33, 3
RESULT = Path(__file__).with_name("results") / "strategy_table.parquet"
SMOKE = ("dataset.limit=120", "splits={guide: 6, validation: 8, test: 8, min_train: 8}", "training.steps=2")
SMOKE_STRATEGIES = (Strategy(("cleaning",)), Strategy(("cleaning", "selection")))


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """How much was trained; the scores themselves go to `RESULT`, of a smoke run nowhere."""
    size = SMOKE if smoke else ()
    if rows is not None:
        size = (*size, f"dataset.limit={rows}")
    config = load_config(CONFIG, [*size, ONE_THREAD])
    strategies = SMOKE_STRATEGIES if smoke else tuple(one for one in strategy_space(config.search.teams) if one)
    config = config.scoring(",".join(map(str, strategies)))
    runs, memory = storage_locations(config.storage)
    making = _Making(
        strategies=strategies,
        baseline_seeds=range(SMOKE_BASELINE_SEEDS if smoke else NUM_BASELINE_SEEDS),
        path=None if smoke else RESULT,
    )
    with ExitStack() as stack:
        making.start(config, runs.folder(f"strategy_table{'_smoke' if smoke else ''}"), memory, stack)
        making.carry_out()
    table = making.table()
    counts = [len(table.of(one)) for one in strategies]
    return {
        "trainings": len(table.trainings),
        "baseline_seeds": len(table.of(NONE)),
        "strategies": sum(count > 0 for count in counts),
        "least_seeds_of_a_strategy": min(counts),
        "failed_strategies": making.num_failed,
    }


@dataclass(slots=True, kw_only=True)
class _Making:
    """A table under way."""

    strategies: tuple[Strategy, ...]
    baseline_seeds: range
    path: Path | None
    evaluator: StrategyEvaluator = field(init=False)
    prepared: Prepared = field(init=False)
    held_out: StoredDataset = field(init=False)
    trained: dict[tuple[Strategy, int], ItemScores] = field(default_factory=dict)
    num_failed: int = 0

    def start(self, config: Config, run: Storage, memory: Storage, stack: ExitStack) -> None:
        """Prepare the quickstart's data and start what a run starts; validation and test rows are one dataset here."""
        entered = cache(lambda: stack.enter_context(connected()))
        journal, progress = Journal(run), PlainLines(sys.stderr)
        models = RowModels.of(config, memory, connect=entered)
        self.prepared = prepare(config, run=run, journal=journal, progress=progress, models=models)
        both = [self.prepared.validation.read(), self.prepared.test.read()]
        self.held_out = StoredDataset.write(run.folder("held_out"), both)
        inputs = EvaluationInputs(
            config=config,
            prepared=replace(self.prepared, validation=self.held_out),
            run=run,
            run_id="strategy-table",
            cache=memory,
            journal=journal,
            progress=progress,
        )
        self.evaluator = inputs.start(entered, stack).evaluator

    def carry_out(self) -> None:
        """All trainings, those first that a stopped table needs most."""
        for number, (strategy, seeds) in enumerate(self._order()):
            try:
                (items,) = self.evaluator.trained([strategy], self.held_out, seeds=seeds)
            except (EndpointError, RunError) as error:
                log.warning("%s has no score: %s", strategy, error)
                self.num_failed += 1
                continue
            self.trained |= {(strategy, seed): one for seed, one in zip(seeds, items, strict=True)}
            if number % 8 == 0:
                self.write()
        self.write()

    def _order(self) -> Iterator[tuple[Strategy, range]]:
        yield NONE, self.baseline_seeds
        first = [one for one in self.strategies if set(one.teams) <= FIRST_TEAMS]
        for group in (first, [one for one in self.strategies if one not in first]):
            for seed in range(NUM_SEEDS):
                yield from ((strategy, range(seed, seed + 1)) for strategy in group)

    def write(self) -> None:
        if self.path is not None:
            write_table(self.table(), self.path)

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
                "command": "python -m benchmarks run strategy_table",
                "setting": f"{CONFIG} --set {ONE_THREAD}",
                "machine": json.dumps(describe()),
                "versions": json.dumps(dict(package_versions())),
            },
        )
