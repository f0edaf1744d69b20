"""Applies strategies to a dataset, prefix by prefix, computing nothing twice.

Every prefix is asked of the cache first; what is computed is committed there and written to the journal. A team run
that fails leaves neither a cache entry nor a finished event.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from actors.batch_worker import PoolConfig, ProgressFn, run_recipe
from actors.storage import Storage
from actors.stored_dataset import StoredDataset
from actors.strategy_cache import CachedDataset, Origin, StrategyCache
from autodp_ray.config import TeamsConfig
from autodp_ray.journal import Journal
from autodp_ray.keys import dataset_key
from autodp_ray.strategy import Strategy
from operators.base import Operator, Resources

log = logging.getLogger(__name__)

TEAM_RUN = "team_run"


class RecipeFn(Protocol):
    """`run_recipe`, or what stands in for it."""

    def __call__(
        self,
        dataset: StoredDataset,
        recipe: Sequence[Operator],
        *,
        resources: Resources,
        out: Storage,
        pool: PoolConfig,
        on_progress: ProgressFn | None = None,
    ) -> StoredDataset: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """A strategy's output and what its teams counted, by reason."""

    dataset: StoredDataset
    counts: Mapping[str, int]


class Processor:
    """Turns strategies into datasets."""

    def __init__(
        self,
        *,
        run_id: str,
        teams: TeamsConfig,
        resources: Resources,
        cache: StrategyCache,
        journal: Journal,
        pool: PoolConfig,
        event: str = TEAM_RUN,
        apply_recipe: RecipeFn = run_recipe,
    ) -> None:
        self._run_id = run_id
        self._teams = teams
        self._resources = resources
        self._cache = cache
        self._journal = journal
        self._pool = pool
        self._event = event
        self._apply_recipe = apply_recipe
        self.num_delivered = 0
        """Team runs that were asked for and had, computed or found."""

    def process(self, source: StoredDataset, strategy: Strategy, *, on_progress: ProgressFn | None = None) -> Processed:
        """The source after every team of a strategy.

        Raises: EndpointError or RunError where a team could not be run.
        """
        current, counts = source, Counter[str]()
        for prefix in strategy.prefixes():
            current = self._team_run(source, current, prefix, on_progress)
            counts.update(current.manifest.counts)
        return Processed(dataset=current, counts=counts)

    def _team_run(
        self, source: StoredDataset, current: StoredDataset, prefix: Strategy, on_progress: ProgressFn | None
    ) -> StoredDataset:
        recipes = [self._teams.recipe(team) for team in prefix.teams]
        key = dataset_key(source.content_hash, recipes, self._resources, run_id=self._run_id)
        entry = self._cache.lookup(key) or self._compute(key, current, prefix, recipes[-1], on_progress)
        executed = entry.origin.run_id == self._run_id
        self._journal.once(self._event, key, lambda: _event(prefix, entry, executed))
        self.num_delivered += 1
        return entry.dataset

    def _compute(
        self,
        key: str,
        current: StoredDataset,
        prefix: Strategy,
        recipe: Sequence[Operator],
        on_progress: ProgressFn | None,
    ) -> CachedDataset:
        started = time.monotonic()
        work: Storage = self._cache.workspace()
        try:
            self._apply_recipe(
                current, recipe, resources=self._resources, out=work, pool=self._pool, on_progress=on_progress
            )
        except BaseException:
            work.delete()
            raise
        origin = Origin(run_id=self._run_id, strategy=str(prefix), seconds=time.monotonic() - started)
        return self._cache.commit(key, work, origin)


def _event(prefix: Strategy, entry: CachedDataset, executed: bool) -> Mapping[str, object]:
    manifest = entry.dataset.manifest
    return {
        "strategy": str(prefix),
        "executed": executed,
        "seconds": round(entry.origin.seconds, 3),
        "num_rows": manifest.num_rows,
        "content_hash": manifest.content_hash,
        "counts": dict(manifest.counts),
    }
