"""Applies strategies to a dataset, prefix by prefix, computing nothing twice.

A strategy starts at its longest prefix in the cache; each longer one is computed by whoever claims it first, among the
strategies of a round and among drivers, committed there and written to the journal. So a round runs as a trie. A team
run that fails leaves neither a cache entry nor a finished event.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Protocol

from actors.cache.cache_client import ReleaseWorker, StrategyCacheClient
from actors.cache.store import CachedDataset, Origin
from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import ProgressFn, run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.cached_step import CachedStep, Steps
from autodp_ray.config.teams_config import TeamsConfig
from autodp_ray.journal import Journal, Payload
from autodp_ray.keys import dataset_key, private_key
from autodp_ray.strategy import Strategy
from operators.contract.errors import AutoDPError
from operators.contract.operator import Operator
from operators.contract.resources import Resources

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


@dataclass(slots=True, kw_only=True)
class StrategyRun:
    """One strategy being processed team by team: where progress is reported, and how many teams have finished."""

    request: str = ""
    """Where it is set, cache keys are private to this request (`cache.prefixes: false`)."""
    on_progress: ProgressFn | None = None
    release_worker: ReleaseWorker = nullcontext
    num_done: int = 0
    """Team runs of this strategy that finished, computed or from the cache."""


class Processor:
    """Turns strategies into datasets. Safe to call from many threads."""

    def __init__(
        self,
        *,
        run_id: str,
        teams: TeamsConfig,
        resources: Resources,
        cache: StrategyCacheClient,
        journal: Journal,
        pool: PoolConfig,
        event: str = TEAM_RUN,
        apply_recipe: RecipeFn = run_recipe,
    ) -> None:
        self._run_id = run_id
        self._teams = teams
        self._resources = resources
        self._cache = cache
        self._pool = pool
        self._steps = Steps(event, journal=journal)
        self._apply_recipe = apply_recipe
        self._failures: dict[str, AutoDPError] = {}

    def new_round(self) -> None:
        """Team runs that failed may be tried again; within a round each fails once for all that build on it."""
        self._failures.clear()

    def process(self, source: StoredDataset, strategy: Strategy, strategy_run: StrategyRun | None = None) -> Processed:
        """The source after every team of a strategy.

        Raises: EndpointError or RunError where a team could not be run.
        """
        strategy_run = strategy_run or StrategyRun()
        prefixes = strategy.prefixes()
        recipes = [self._teams.recipe(team) for team in strategy.teams]
        shared = [
            dataset_key(source.content_hash, recipes[: end + 1], self._resources, run_id=self._run_id)
            for end in range(len(recipes))
        ]
        keys = [private_key(key, strategy_run.request, run_id=self._run_id) for key in shared]
        current = source
        counts: Mapping[str, int] = {}
        found = self._cache.lookup(keys)
        for place in range(0 if found is None else found[0], len(prefixes)):
            run = _TeamRun(
                prefix=prefixes[place], key=keys[place], recipe=recipes[place], source=current, counts=counts
            )
            had = found[1] if found and place == found[0] else None
            entry = self._steps.value(self._step(run, strategy_run, had))
            strategy_run.num_done = place + 1
            current, counts = entry.dataset, entry.origin.counts
        return Processed(dataset=current, counts=counts)

    def _step(self, run: _TeamRun, strategy_run: StrategyRun, had: CachedDataset | None) -> CachedStep[CachedDataset]:
        """A team run as a step; `had` is its dataset where a look at the cache has found it already."""

        def obtain() -> CachedDataset:
            return had or self._cache.dataset(
                run.key,
                lambda work: self._compute(run, work, strategy_run.on_progress),
                release_worker=strategy_run.release_worker,
            )

        return CachedStep(
            key=run.key,
            obtain=obtain,
            describe=lambda entry: self._event(run, entry),
            release_worker=strategy_run.release_worker,
        )

    def _compute(self, run: _TeamRun, work: Storage, on_progress: ProgressFn | None) -> Origin:
        if (failure := self._failures.get(run.key)) is not None:
            raise type(failure)(str(failure))
        started = time.monotonic()
        try:
            done = self._apply_recipe(
                run.source, run.recipe, resources=self._resources, out=work, pool=self._pool, on_progress=on_progress
            )
        except AutoDPError as error:
            self._failures[run.key] = error
            raise
        return Origin(
            run_id=self._run_id,
            strategy=str(run.prefix),
            seconds=time.monotonic() - started,
            counts=dict(Counter(run.counts) + Counter(done.manifest.counts)),
        )

    def _event(self, run: _TeamRun, entry: CachedDataset) -> Payload:
        origin, manifest = entry.origin, entry.dataset.manifest
        return {
            "strategy": str(run.prefix),
            "executed": origin.run_id == self._run_id,
            "seconds": round(origin.seconds, 3),
            "num_rows": manifest.num_rows,
            "content_hash": manifest.content_hash,
            "counts": dict(manifest.counts),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _TeamRun:
    """One team run of a strategy, and what it starts from."""

    prefix: Strategy
    key: str
    recipe: Sequence[Operator]
    source: StoredDataset
    counts: Mapping[str, int]
