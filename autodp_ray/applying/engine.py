"""A strategy on stored rows, from starting its models to the written files: what `apply` and `process` share.

Knows what is asked for in full. Knows neither runs nor where the rows come from.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

from actors.cache.cache_client import StrategyCacheClient
from actors.gradients.influence import InfluenceInputs
from actors.storage.storage import Storage
from autodp_ray.applying.accounts import Applied, account
from autodp_ray.applying.source import AppliedSource
from autodp_ray.clock import RunClock
from autodp_ray.cluster.needed import needed_operators
from autodp_ray.cluster.outside_operators import require_operators
from autodp_ray.cluster.ray import Cluster, require_shared
from autodp_ray.cluster.resource_plan import require_room
from autodp_ray.cluster.starting import said_while_nodes_come
from autodp_ray.config.run_config import Config
from autodp_ray.journal import Journal
from autodp_ray.progress import Progress
from autodp_ray.records.output.dataset_writer import write_dataset
from autodp_ray.runs.services import started
from autodp_ray.strategies.processing import Processed, Processor, StrategyRun
from autodp_ray.strategy import Strategy
from operators.contract.resources import KnownRows, Language

APPLY_TEAM_RUN = "apply_team_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A strategy that is to be applied, to what, and where everything lies."""

    config: Config
    strategy: Strategy
    target: Storage
    run_id: str
    """The same for every attempt at this work, and no other's."""
    run: Storage
    """The folder of the journal."""
    memory: Storage
    """Where what models said of rows is remembered beyond this work."""
    open_cache: Callable[[], AbstractContextManager[StrategyCacheClient]]
    """What a team has finished lies there, and what it has begun."""
    clock: RunClock
    known_rows: KnownRows | None = None
    """Of an index with which rows are compared."""


def works_with_models(config: Config, strategy: Strategy) -> bool:
    """Whether a model looks at the rows: an operator's, or the screener."""
    return config.screener.judges_rows or any(each.needs.models for each in needed_operators(config, strategy.teams))


def require_place(work: Work, cluster: Cluster) -> None:
    """Raises: InputError where the cluster has no room for the work, or does not see its folders; RunError where a node
    lacks an operator."""
    for storage in (work.run, work.memory):
        require_shared(storage, cluster)
    require_room(work.config, cluster, work.strategy.teams)
    require_operators(needed_operators(work.config, work.strategy.teams))


def carry_out(
    work: Work,
    source: AppliedSource,
    *,
    language: Language,
    influence: InfluenceInputs | None = None,
    cluster: Cluster,
    progress: Progress,
) -> Applied:
    """Apply the strategy and write what comes out, in the form that went in.

    Raises: RunError where rows do not add up; EndpointError or RunError where a team could not be run.
    """
    processed = _processed(work, source, language=language, influence=influence, cluster=cluster, progress=progress)
    progress.phase("writing", strategy=str(work.strategy))
    with said_while_nodes_come(progress):
        files = write_dataset(processed.dataset, work.target.location, layout=source.layout, pool=work.config.pool)
    return account(
        work.strategy, source, processed, output=work.target, files=files, seconds=round(work.clock.total, 3)
    )


def _processed(
    work: Work,
    source: AppliedSource,
    *,
    language: Language,
    influence: InfluenceInputs | None,
    cluster: Cluster,
    progress: Progress,
) -> Processed:
    strategy = work.strategy
    services_of_work = started(
        work.config,
        cluster=cluster,
        run=work.run,
        cache=work.memory,
        teams=strategy.teams,
        language=language,
        progress=progress,
        influence=influence,
        searches=False,
    )
    with services_of_work as services, work.open_cache() as cache:
        processor = Processor(
            run_id=work.run_id,
            teams=work.config.teams,
            resources=replace(services.resources, known_rows=work.known_rows),
            cache=cache,
            journal=Journal(work.run),
            pool=work.config.pool,
            event=APPLY_TEAM_RUN,
        )
        progress.phase("processing", strategy=str(strategy))
        with said_while_nodes_come(progress):
            return processor.process(
                source.dataset, strategy, StrategyRun(on_progress=partial(progress.rows, strategy=str(strategy)))
            )
