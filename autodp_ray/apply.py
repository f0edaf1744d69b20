"""Applies the recommended strategy to a full dataset, streaming, and accounts for every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from actors.storage import Storage
from actors.stored_dataset import StoredDataset
from actors.strategy_cache_actor import open_strategy_cache
from autodp_ray.clock import Clock
from autodp_ray.cluster import Cluster, require_shared
from autodp_ray.journal import Journal
from autodp_ray.layout import Layout
from autodp_ray.layout_scan import scan_layout
from autodp_ray.open_run import OpenRun
from autodp_ray.preparation import Prepared, find_prepared, parts_of
from autodp_ray.processing import Processed, Processor, Walk
from autodp_ray.progress import Progress
from autodp_ray.quarantine import QUARANTINE_FILE, Quarantine
from autodp_ray.reader import read_records
from autodp_ray.result import RunResult
from autodp_ray.services import started
from autodp_ray.strategy import Strategy
from autodp_ray.writer import SUFFIXES, write_records
from operators.errors import InputError, RunError

APPLY_TEAM_RUN = "apply_team_run"
PROCESSED = "processed"
_WORK = "work"


class Applied(BaseModel):
    """Where the rows of a dataset went. rows_in = rows_out + dropped + quarantined + held_out - generated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str
    output: str
    files: tuple[str, ...]
    rows_in: int
    rows_out: int
    quarantined: int
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
            f"wrote {self.output}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """What a strategy is applied to, and what was left out of it before."""

    dataset: StoredDataset
    layout: Layout
    num_in: int
    num_quarantined: int
    num_held_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What is going to be applied to what; everything that can be wrong with it is checked."""

    run: OpenRun
    result: RunResult
    prepared: Prepared
    strategy: Strategy
    source: _Source
    target: Storage
    is_the_runs_own: bool
    """Whether this is the recommended strategy on the run's train split, whose counts belong into result.json."""
    clock: Clock


def prepare_application(
    run: OpenRun,
    *,
    source: str | None = None,
    output: str | None = None,
    with_held_out: bool = False,
    strategy: str | None = None,
) -> Application:
    """Check what is asked for and read the dataset; needs no Ray.

    Raises: InputError for a run that is not finished, or a strategy or dataset that is wrong.
    """
    clock = Clock()
    location = run.folder.storage.location
    result = run.folder.result()
    if result is None or result.status != "done" or result.best_strategy is None:
        raise InputError(f"{location} is not finished; go on with autodp run --resume {location}")
    if source is not None and (with_held_out or output is None):
        raise InputError("--input needs --output and takes no --all: another dataset has no held-out rows")
    chosen = Strategy.parse(strategy or result.best_strategy, teams=run.config.search.teams)
    target = Storage.at(output) if output is not None else run.folder.storage.folder(PROCESSED)
    prepared = find_prepared(run.folder.storage, Journal(run.folder.storage))
    return Application(
        run=run,
        result=result,
        prepared=prepared,
        strategy=chosen,
        source=_source(run, prepared, source, target, with_held_out=with_held_out),
        target=target,
        is_the_runs_own=source is None and output is None and strategy is None,
        clock=clock,
    )


def apply_run(application: Application, *, cluster: Cluster, progress: Progress) -> Applied:
    """Process the run's train split, or another dataset, with the recommended strategy or a named one.

    Raises: RunError where rows do not add up.
    """
    run, target = application.run, application.target
    for storage in (run.folder.storage, run.cache_storage):
        require_shared(storage, cluster)
    processed = _process(application, cluster, progress)
    progress.phase("writing", strategy=str(application.strategy))
    files = write_records(processed.dataset.batches(), target.location, layout=application.source.layout)
    applied = _account(
        application.strategy,
        application.source,
        processed,
        output=target.location,
        files=files,
        seconds=application.clock.total,
    )
    if application.is_the_runs_own:
        run.folder.write_result(_with_application(application.result, applied))
    run.folder.storage.delete(_WORK)
    return applied


def _source(run: OpenRun, prepared: Prepared, source: str | None, target: Storage, *, with_held_out: bool) -> _Source:
    if source is not None:
        return _other_dataset(run, source, target)
    held_out = (prepared.guide, prepared.validation, prepared.test)
    num_held_out = sum(each.num_rows for each in held_out)
    if not with_held_out:
        return _Source(
            dataset=prepared.train,
            layout=prepared.layout,
            num_in=prepared.num_in,
            num_quarantined=prepared.num_quarantined,
            num_held_out=num_held_out + prepared.num_set_aside,
        )
    work = run.folder.storage.folder(f"{_WORK}/everything")
    batches = (batch for each in (prepared.train, *held_out) for batch in each.batches())
    return _Source(
        dataset=StoredDataset.write(work, batches),
        layout=prepared.layout,
        num_in=prepared.num_in,
        num_quarantined=prepared.num_quarantined,
        num_held_out=prepared.num_set_aside,
    )


def _other_dataset(run: OpenRun, path: str, target: Storage) -> _Source:
    settings = run.config.dataset.model_copy(update={"path": path, "corruption": "none", "limit": None})
    layout = scan_layout(settings)
    with _quarantine(target, layout) as quarantine:
        batches = read_records(settings, on_quarantine=quarantine, layout=layout)
        parts = _parts(batches, run.config.pool.part_rows)
        dataset = StoredDataset.write(run.folder.storage.folder(f"{_WORK}/input"), parts)
    return _Source(
        dataset=dataset,
        layout=layout,
        num_in=dataset.num_rows + quarantine.num_rows,
        num_quarantined=quarantine.num_rows,
        num_held_out=0,
    )


def _quarantine(target: Storage, layout: Layout) -> Quarantine:
    """In the output's folder, or beside an output that is one file."""
    suffix = SUFFIXES[layout.format]
    if not target.location.endswith(suffix):
        return Quarantine(target.folder("quarantine"))
    parent, _, name = target.location.rpartition("/")
    return Quarantine(Storage.at(parent or "/"), name=f"{name.removesuffix(suffix)}.{QUARANTINE_FILE}")


def _parts(batches: Iterator[pa.Table], part_rows: int) -> Iterator[pa.Table]:
    for batch in batches:
        yield from parts_of(batch, part_rows)


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
        needs_agent=False,
        needs_training=False,
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
    strategy: Strategy, source: _Source, processed: Processed, *, output: str, files: list[str], seconds: float
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
        files=tuple(files),
        rows_in=source.num_in,
        rows_out=processed.dataset.num_rows,
        quarantined=source.num_quarantined,
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
