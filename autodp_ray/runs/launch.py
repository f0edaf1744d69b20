"""From options to a result on a cluster: what the command line and the Python API share."""

from __future__ import annotations

from collections.abc import Sequence

from autodp_ray.cluster.ray import connected
from autodp_ray.progress import Progress
from autodp_ray.result import RunResult
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.runs.phases import run_search


def run_config(
    config: str,
    *,
    overrides: Sequence[str] = (),
    run_dir: str | None = None,
    fresh: bool = False,
    strategies: str | None = None,
    progress: Progress,
) -> RunResult:
    """Run a config file to its end; a finished run of the same config returns its result."""
    options = RunOptions(
        config_path=config, overrides=tuple(overrides), run_dir=run_dir, fresh=fresh, strategies=strategies
    )
    return run_opened(open_run(options), progress=progress)


def run_opened(run: OpenRun, *, progress: Progress) -> RunResult:
    """Run or resume an opened run under its folder's lock, on the cluster there is or an own Ray."""
    with run.folder.locked():
        finished = run.finished_result()
        if finished is not None:
            progress.note(f"{run.folder.storage.location} holds this run, finished; --fresh starts it over")
            return finished
        return run_search(run, connect=connected, progress=progress)
