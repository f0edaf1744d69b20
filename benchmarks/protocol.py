"""What a benchmark is: a module with a docstring and a function `run(options)` that returns figures.

Figures are nested plain data: numbers, texts, and what was repeated as `repeated.spread` makes it. A benchmark knows no
bars and no table; bars.yaml says which of its figures are gates, table.yaml which are shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Protocol, cast

Figures = Mapping[str, object]

NAMES: Mapping[str, str] = MappingProxyType(
    {
        "ablation": "the search with and without each acceleration, as in the paper's Table 5",
        "cleaning": "rows/s of each cleaning operator, beside the libraries that do the same work",
        "gradient_selection": "speed of per-sample gradients and sketches, and what influence finds among planted rows",
        "sampling": "seconds, passes and peak memory of each sampling method, out of core",
    }
)
"""Every benchmark and what it measures; the module of that name in this package runs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. A benchmark has its own default for `rows`."""

    rows: int | None = None
    smoke: bool = False
    """Whether a size that takes minutes at most is wanted; figures of it are no claims."""


class Benchmark(Protocol):
    """The module of a benchmark."""

    def run(self, options: Options) -> Figures: ...


def load(name: str) -> Benchmark:
    """Imports a benchmark; what it needs is loaded only now."""
    return cast(Benchmark, import_module(f"benchmarks.{name}"))
