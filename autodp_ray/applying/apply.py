"""Applies the recommended strategy to a full dataset, streaming, and accounts for every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel, ConfigDict

from actors.cache.cache_actor import open_strategy_cache
from actors.storage.storage import Storage
from autodp_ray.applying.source import AppliedSource, other_rows, own_rows, require_writable
from autodp_ray.clock import RunClock
from autodp_ray.cluster.outside_operators import require_operators
from autodp_ray.cluster.ray import Cluster, require_shared
from autodp_ray.cluster.resource_plan import require_room
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, find_prepared
from autodp_ray.progress import Progress
from autodp_ray.records.output.writer import write_records
from autodp_ray.result import RunResult
from autodp_ray.run_contents import PROCESSED, WORK, clear
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.runs.services import require_endpoints, started
from autodp_ray.strategies.processing import Processed, Processor, Walk
from autodp_ray.strategy import Strategy
from operators.contract.errors import InputError, RunError
from operators.contract.redaction import redacted

APPLY_TEAM_RUN, OUTPUT = "apply_team_run", "output"


class Applied(BaseModel):
    """Where the rows of a dataset went. rows_in = rows_out + dropped + quarantined + held_out - generated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str
    output: str
    files: tuple[str, ...]
    rows_in: int
    rows_out: int
    quarantined: int
    quarantine_reasons: Mapping[str, int] = {}
    quarantine_file: str | None = None
    """Where the quarantined rows are, each with its source, line and reason; null without one."""
    held_out: int
    generated: int
    dropped: Mapping[str, int]
    other_counts: Mapping[str, int]
    seconds: float

    def text(self) -> str:
        """For people."""
        dropped = ", ".join(f"{reason} {count}" for reason, count in self.dropped.items()) or "none"
        return (
            f"applied {self.strategy}: {self.rows_in} rows in, {self.rows_out} out, {self.generated} generated, "
            f"{self.held_out} held out, {self.quarantined} quarantined; dropped: {dropped}\n"
            f"{self._quarantine_text()}"
            f"wrote {self.output}"
        )

    def _quarantine_text(self) -> str:
        if not self.quarantined:
            return ""
        reasons = "; ".join(f"{count} {reason}" for reason, count in self.quarantine_reasons.items())
        return f"quarantined: {reasons or self.quarantined} (see {self.quarantine_file})\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What is going to be applied to what; everything that can be wrong with it is checked."""

    run: OpenRun
    result: RunResult
    prepared: Prepared
    strategy: Strategy
    source: AppliedSource
    target: Storage
    is_the_runs_own: bool
    """Whether this is the recommended strategy on the run's train split, whose counts belong into result.json."""
    clock: RunClock


def prepare_application(
    run: OpenRun,
    *,
    source: str | None = None,
    output: str | None = None,
    with_held_out: bool = False,
    strategy: str | None = None,
) -> Application:
    """Check what is asked for and read the dataset; needs no Ray.

    Raises: InputError for a run that is not finished, a strategy or dataset that is wrong, or an endpoint that does not
    answer.
    """
    clock = RunClock()
    result = finished_result(run)
    if source is not None and (with_held_out or output is None):
        raise InputError("--input needs --output and takes no --all: another dataset has no held-out rows")
    assert result.best_strategy is not None
    chosen = Strategy.parse(strategy or result.best_strategy, teams=run.config.search.teams)
    own = run.folder.storage.folder(PROCESSED)
    target = own if output is None else Storage.at(output)
    if target == own and (source is not None or str(chosen) != result.best_strategy):
        raise InputError(
            f"{own.location} is for the run's own rows by {result.best_strategy}, which it recommends; "
            f"give --output with another folder or file for what {chosen} makes"
        )
    if target == Storage.at(source or run.config.dataset.path):
        raise InputError(f"--output {target.location} is the input itself; name another folder or file")
    journal = Journal(run.folder.storage)
    prepared = find_prepared(run.folder.storage, journal)
    if target != own:
        _claim(target, journal)
    if source is None:
        require_writable(target, prepared.layout)
        rows = own_rows(run, prepared, with_held_out=with_held_out)
    else:
        rows = other_rows(run, source, target=target)
    require_endpoints(run.config, chosen.teams, searches=False)
    return Application(
        run=run,
        result=result,
        prepared=prepared,
        strategy=chosen,
        source=rows,
        target=target,
        is_the_runs_own=target == own,
        clock=clock,
    )


def _claim(target: Storage, journal: Journal) -> None:
    """Note an output as this run's, so that the same command may write over it another time.

    Raises: InputError where something lies there that this run did not put there.
    """
    if journal.find(OUTPUT, target.shown) is not None:
        return
    if target.is_file() or target.files():
        raise InputError(
            f"--output {target.shown} is there already, and this run did not write it; nothing in it was touched: "
            "choose another --output, or delete it"
        )
    journal.append(OUTPUT, {}, key=target.shown)


def finished_result(run: OpenRun) -> RunResult:
    """Raises: InputError where the run is not finished, with the command that goes on."""
    location = run.folder.storage.location
    result = run.folder.result()
    if result is None or result.status != "done" or result.best_strategy is None:
        raise InputError(f"{location} is not finished; go on with autodp run --resume {location}")
    return result


def apply_run(application: Application, *, cluster: Cluster, progress: Progress) -> Applied:
    """Process the run's train split, or another dataset, with the recommended strategy or a named one.

    Raises: RunError where rows do not add up.
    """
    run, target = application.run, application.target
    for storage in (run.folder.storage, run.cache_storage):
        require_shared(storage, cluster)
    require_room(run.config, cluster)
    require_operators(operator for team in application.strategy.teams for operator in run.config.teams.recipe(team))
    processed = _process(application, cluster, progress)
    progress.phase("writing", strategy=str(application.strategy))
    files = write_records(processed.dataset.batches(), target.location, layout=application.source.layout)
    applied = _account(
        application.strategy,
        application.source,
        processed,
        output=target.shown,
        files=files,
        seconds=application.clock.total,
    )
    if application.is_the_runs_own:
        run.folder.write_result(_with_application(application.result, applied))
    clear(run.folder.storage, WORK)
    return applied


def _process(application: Application, cluster: Cluster, progress: Progress) -> Processed:
    run, strategy = application.run, application.strategy
    progress.phase("starting the models")
    services_of_run = started(
        run.config,
        cluster=cluster,
        run=run.folder.storage,
        cache=run.cache_storage,
        prepared=application.prepared,
        teams=strategy.teams,
        searches=False,
    )
    run_id = run.folder.run_id
    with services_of_run as services, open_strategy_cache(run.cache_storage, holder=run_id) as cache:
        processor = Processor(
            run_id=run_id,
            teams=run.config.teams,
            resources=services.resources,
            cache=cache,
            journal=Journal(run.folder.storage),
            pool=run.config.pool,
            event=APPLY_TEAM_RUN,
        )
        progress.phase("processing", strategy=str(strategy))
        walk = Walk(on_progress=partial(progress.rows, strategy=str(strategy)))
        return processor.process(application.source.dataset, strategy, walk)


def _account(
    strategy: Strategy, source: AppliedSource, processed: Processed, *, output: str, files: list[str], seconds: float
) -> Applied:
    counts = processed.counts
    dropped = {name.removeprefix("dropped:"): count for name, count in counts.items() if name.startswith("dropped:")}
    generated = counts.get("generated", 0)
    left = processed.dataset.num_rows + sum(dropped.values()) + source.num_quarantined + source.num_held_out - generated
    if left != source.num_in:
        raise RunError(f"rows do not add up: {source.num_in} went in and {left} are accounted for by {dict(counts)}")
    return Applied(
        strategy=str(strategy),
        output=output,
        files=tuple(redacted(file) for file in files),
        rows_in=source.num_in,
        rows_out=processed.dataset.num_rows,
        quarantined=source.num_quarantined,
        quarantine_reasons=source.quarantine_reasons,
        quarantine_file=source.quarantine_file if source.num_quarantined else None,
        held_out=source.num_held_out,
        generated=generated,
        dropped=dropped,
        other_counts={name: count for name, count in counts.items() if not name.startswith("dropped:")},
        seconds=seconds,
    )


def _with_application(result: RunResult, applied: Applied) -> RunResult:
    rejected = {
        name.removeprefix("rejected:"): count
        for name, count in applied.other_counts.items()
        if name.startswith("rejected:")
    }
    rows = result.rows.model_copy(
        update={
            "generated": applied.generated,
            "dropped": dict(applied.dropped),
            "rejected": rejected,
            "out": applied.rows_out,
        }
    )
    seconds = result.seconds.model_copy(update={"apply": applied.seconds})
    return result.model_copy(update={"rows": rows, "seconds": seconds})
