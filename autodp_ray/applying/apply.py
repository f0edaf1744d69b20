"""Applies the recommended strategy of a run to its full dataset, or to another one, and accounts for every row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from actors.cache.cache_actor import open_strategy_cache
from actors.storage.storage import Storage
from autodp_ray.applying.accounts import Applied
from autodp_ray.applying.engine import Work, carry_out, require_place, works_with_models
from autodp_ray.applying.input_rows import InputFiles, input_rows
from autodp_ray.applying.source import AppliedSource, fitting_files, own_rows, require_writable
from autodp_ray.clock import RunClock
from autodp_ray.cluster.ray import Cluster, connected
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, find_prepared
from autodp_ray.progress import Progress
from autodp_ray.records.output.output_files import require_format
from autodp_ray.result import RunResult
from autodp_ray.run_contents import PROCESSED, WORK, clear
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.runs.services import influence_inputs, require_endpoints
from autodp_ray.strategy import Strategy
from operators.contract.errors import InputError

OUTPUT = "output"


class ReadFn(Protocol):
    """Gives the rows."""

    def __call__(self, *, progress: Progress) -> AppliedSource: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What is going to be applied to what; everything that can be wrong with it is checked."""

    run: OpenRun
    result: RunResult
    prepared: Prepared
    strategy: Strategy
    read: ReadFn
    """Of another dataset on workers."""
    target: Storage
    is_the_runs_own: bool
    """Whether this is the recommended strategy on the run's train split, whose counts belong into result.json."""
    clock: RunClock


def apply_folder(
    run_dir: str,
    *,
    source: str | None = None,
    output: str | None = None,
    with_held_out: bool = False,
    strategy: str | None = None,
    progress: Progress,
) -> Applied:
    """Apply a finished run's strategy under the lock of its folder, on the cluster there is or an own Ray.

    Raises: InputError for a request that is wrong.
    """
    run = open_run(RunOptions(resume=run_dir))
    with run.folder.locked():
        application = prepare_application(
            run, source=source, output=output, with_held_out=with_held_out, strategy=strategy
        )
        with connected() as cluster:
            return apply_run(application, cluster=cluster, progress=progress)


def prepare_application(
    run: OpenRun,
    *,
    source: str | None = None,
    output: str | None = None,
    with_held_out: bool = False,
    strategy: str | None = None,
) -> Application:
    """Check what is asked for; needs no Ray and reads no other dataset.

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
        read: ReadFn = partial(_own_rows, run, prepared, with_held_out=with_held_out)
    else:
        read = _other_rows(run, source, target=target, strategy=chosen)
    require_endpoints(run.config, chosen.teams, searches=False)
    return Application(
        run=run,
        result=result,
        prepared=prepared,
        strategy=chosen,
        read=read,
        target=target,
        is_the_runs_own=target == own,
        clock=clock,
    )


def _own_rows(run: OpenRun, prepared: Prepared, *, with_held_out: bool, progress: Progress) -> AppliedSource:
    return own_rows(run, prepared, with_held_out=with_held_out)


def _other_rows(run: OpenRun, path: str, *, target: Storage, strategy: Strategy) -> ReadFn:
    """Reads another dataset as the run's own was, where that fits.

    Raises: InputError where no file is there.
    """
    config = run.config.dataset.model_copy(update={"path": path, "name": None, "limit": None, "corruption": "none"})
    files = fitting_files(config)
    require_format(target.place()[1], files[0].format)
    return partial(
        input_rows,
        config,
        InputFiles.of(files),
        work=run.folder.storage.folder(f"{WORK}/input"),
        target=target,
        pool=run.config.pool,
        for_models=works_with_models(run.config, strategy),
        is_another=True,
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
    run, prepared, strategy = application.run, application.prepared, application.strategy
    work = Work(
        config=run.config,
        strategy=strategy,
        target=application.target,
        run_id=run.folder.run_id,
        run=run.folder.storage,
        memory=run.cache_storage,
        open_cache=partial(open_strategy_cache, run.cache_storage, holder=run.folder.run_id),
        clock=application.clock,
    )
    require_place(work, cluster)
    influence = influence_inputs(run.config, prepared=prepared, teams=strategy.teams, cache=run.cache_storage)
    applied = carry_out(
        work,
        application.read(progress=progress),
        language=prepared.language,
        influence=influence,
        cluster=cluster,
        progress=progress,
    )
    if application.is_the_runs_own:
        run.folder.write_result(_with_application(application.result, applied))
    clear(run.folder.storage, WORK)
    return applied


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
