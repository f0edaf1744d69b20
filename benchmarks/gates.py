"""Gates: which figures must reach which bars. The bars stand in bars.yaml and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator

from benchmarks.protocol import Figures

BARS = Path(__file__).with_name("bars.yaml")

Number = int | float


class GateSpec(BaseModel):
    """One bar. `figure`, and a bar that is a text, are dotted paths into the figures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    figure: str
    at_least: Number | str | None = None
    at_most: Number | str | None = None
    equals: Number | str | None = None
    full_only: bool = False
    """Whether a smoke run is too small to say anything about it."""
    if_measured: bool = False
    """Whether it is for those runs alone that have the figure."""

    @model_validator(mode="after")
    def _one_bar(self) -> GateSpec:
        if sum(bar is not None for bar in (self.at_least, self.at_most, self.equals)) != 1:
            raise ValueError(f"gate {self.name!r} needs exactly one of at_least, at_most, equals")
        return self


class Gate(BaseModel):
    """A figure beside its bar."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: Number | None
    bar: Number
    ok: bool


def load_bars(path: Path = BARS) -> Mapping[str, tuple[GateSpec, ...]]:
    """The gates of each benchmark."""
    return TypeAdapter(dict[str, tuple[GateSpec, ...]]).validate_python(yaml.safe_load(path.read_text("utf-8")))


def judge(specs: Sequence[GateSpec], figures: Figures, *, smoke: bool) -> tuple[Gate, ...]:
    """Every gate that applies. A figure that could not be measured (null) misses its bar.

    Raises: KeyError for a path that the figures do not have.
    """
    return tuple(_judge(spec, figures) for spec in specs if _applies(spec, figures, smoke=smoke))


def figure_at(figures: object, path: str) -> Number | None:
    """The number at a dotted path; of a repeated figure its median.

    Raises: KeyError where there is none.
    """
    found = value_at(figures, path)
    if isinstance(found, Mapping) and "median" in found:
        found = found["median"]
    if found is not None and not isinstance(found, int | float):
        raise KeyError(f"{path} is no number")
    return found


def value_at(figures: object, path: str) -> object:
    """What stands at a dotted path; a name may itself hold dots.

    Raises: KeyError where nothing does.
    """
    if isinstance(figures, Mapping):
        if path in figures:
            return figures[path]
        for name, inner in figures.items():
            if path.startswith(f"{name}."):
                return value_at(inner, path.removeprefix(f"{name}."))
    raise KeyError(f"there is no figure {path}")


def _applies(spec: GateSpec, figures: Figures, *, smoke: bool) -> bool:
    if smoke and spec.full_only:
        return False
    return not spec.if_measured or _has(figures, spec.figure)


def _has(figures: Figures, path: str) -> bool:
    try:
        value_at(figures, path)
    except KeyError:
        return False
    return True


def _judge(spec: GateSpec, figures: Figures) -> Gate:
    value = figure_at(figures, spec.figure)
    if spec.at_least is not None:
        bar = _bar(spec.at_least, figures)
        ok = value is not None and value >= bar
    elif spec.at_most is not None:
        bar = _bar(spec.at_most, figures)
        ok = value is not None and value <= bar
    else:
        assert spec.equals is not None
        bar = _bar(spec.equals, figures)
        ok = value == bar
    return Gate(name=spec.name, value=value, bar=bar, ok=ok)


def _bar(bar: Number | str, figures: Figures) -> Number:
    found = figure_at(figures, bar) if isinstance(bar, str) else bar
    if found is None:
        raise KeyError(f"the bar {bar} is null")
    return found
