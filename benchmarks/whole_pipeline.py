"""The cleaning team from files to files, as users run it: what `autodp process` does."""

from __future__ import annotations

from collections.abc import Callable

from autodp_ray.applying.process import ProcessOptions, process
from autodp_ray.progress import Silent

PhaseFn = Callable[[str], None]
"""Called with the name of each phase as it begins."""


def clean_files(source: str, target: str, *, work: str, max_workers: int | None, on_phase: PhaseFn) -> int:
    """Reads the files of `source`, cleans the rows and writes the rest to `target`; how many rows that are."""
    overrides = () if max_workers is None else (f"pool.max_workers={max_workers}",)
    options = ProcessOptions(data=source, strategy="cleaning", output=target, overrides=overrides, work=work)
    return process(options, progress=_Phases(on_phase)).rows_out


class _Phases(Silent):
    """Tells of phases alone."""

    def __init__(self, on_phase: PhaseFn) -> None:
        self._on_phase = on_phase

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        self._on_phase(name)
