"""The runs that lie in a folder, each with what can be said of it, whatever state it is in. Changes none of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from actors.storage.storage import Storage
from autodp_ray.reporting.run_index import INDEX_MARK, ListedRun, listed, render_index
from autodp_ray.run_contents import COMPARISON, COMPARISON_PAGE, CONFIG, REPORT, RESULT
from autodp_ray.runs.folder import RunFolder
from operators.contract.errors import InputError
from operators.contract.redaction import redacted

INDEX = "index.html"
_RUNS = "runs"
"""Of a storage: where its runs lie."""


def list_runs(location: Storage) -> tuple[Storage, list[ListedRun]]:
    """The folder that holds the runs (the given one, or `runs` in it), and its runs, the last changed first.

    Raises: InputError where there is none.
    """
    for folder in (location, location.folder(_RUNS)):
        runs = [_listed(folder, name) for name in folder.names() if folder.exists(f"{name}/{CONFIG}")]
        if runs:
            return folder, sorted(runs, key=lambda run: (run.changed is None, -_seconds(run), run.name))
    raise InputError(f"{location.shown} holds no runs; give the folder that they lie in, such as runs or a storage")


def write_index(folder: Storage, runs: list[ListedRun]) -> str:
    """Write the page that lists the runs; gives back where it lies.

    Raises: InputError where somebody else's file is in its place.
    """
    if folder.exists(INDEX) and INDEX_MARK.encode() not in folder.read_bytes(INDEX):
        raise InputError(f"{folder.shown_uri(INDEX)} is no page of this program; move it away, or use --json")
    folder.write_text(INDEX, redacted(render_index(folder.shown, runs)))
    return folder.shown_uri(INDEX)


def _listed(folder: Storage, name: str) -> ListedRun:
    """Whatever is wrong with a run is said in its own line and keeps no other from being listed."""
    run = folder.folder(name)
    try:
        RunFolder(run).describe()
        if run.exists(COMPARISON):
            page = f"{name}/{COMPARISON_PAGE}" if run.exists(COMPARISON_PAGE) else None
            return ListedRun(name=name, state="comparison", changed=_changed(run, COMPARISON), page=page)
        result = RunFolder(run).result()
    except (InputError, OSError) as error:
        return ListedRun(name=name, state="broken", note=redacted(str(error)), changed=_changed(run, CONFIG))
    if result is None:
        again = "the same autodp compare command" if RunFolder(run).is_comparison else "autodp run --resume"
        note = f"no result yet: it has just begun, or was killed; {again} goes on"
        return ListedRun(name=name, state="unfinished", note=note, changed=_changed(run, CONFIG))
    page = f"{name}/{REPORT}" if run.exists(REPORT) else None
    return listed(name, result, changed=_changed(run, RESULT), page=page)


def _changed(run: Storage, name: str) -> datetime | None:
    seconds = run.written_at(name)
    return None if math.isinf(seconds) else datetime.fromtimestamp(seconds, UTC)


def _seconds(run: ListedRun) -> float:
    return 0.0 if run.changed is None else run.changed.timestamp()
