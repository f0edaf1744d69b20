"""A comparison as one HTML page: the best score against trainings for each policy, and the tables of compare.md.

Numbers and names only, no row text. The look stands in reporting/templates/compare.html.jinja.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from jinja2 import Environment, PackageLoader, StrictUndefined

from autodp_ray.comparing.comparison import Comparison, SearchRecord
from autodp_ray.comparing.table import HOW_TO_READ
from autodp_ray.reporting.forest_plot import Axis, axis_over, signed
from autodp_ray.strategy import NO_PROCESSING

WIDTH, HEIGHT = 800, 360


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """One arm's best gain so far, as points of an SVG: the mean over its searches, and the band from worst to best."""

    arm: str
    number: int
    line: str
    band: str
    last: float


def comparison_page(found: Comparison) -> str:
    """The page compare.html, without scripts and without anything to load."""
    environment = Environment(
        loader=PackageLoader("autodp_ray.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    axis = axis_over([found.noise_floor, *(best for each in found.searches for best in each.best_so_far)])
    intervals = axis_over(end for duel in (*found.duels, *found.self_checks) for end in (*duel.ci95, duel.difference))
    opponents = dict.fromkeys(duel.theirs for duel in found.duels if duel.theirs != NO_PROCESSING)
    return environment.get_template("compare.html.jinja").render(
        found=found,
        how_to_read=HOW_TO_READ,
        opponents=", ".join(opponents or ["no processing"]),
        axis=axis,
        intervals=intervals,
        curves=curves(found, axis),
        num_searches=len(found.searches_of(found.ours)),
        num_trainings=_most(found.searches),
        size=(WIDTH, HEIGHT),
    )


def curves(found: Comparison, axis: Axis) -> list[Curve]:
    """Every arm's, in their order."""
    most = _most(found.searches)
    drawn = []
    for number, arm in enumerate(found.arms):
        searches = found.searches_of(arm)
        steps = [_padded(each, most) for each in searches]
        by_step = list(zip(*steps, strict=True))
        drawn.append(
            Curve(
                arm=arm,
                number=number,
                line=_points([fmean(each) for each in by_step], axis),
                band=f"{_points([max(each) for each in by_step], axis)} "
                + " ".join(reversed(_points([min(each) for each in by_step], axis).split())),
                last=fmean(by_step[-1]),
            )
        )
    return drawn


def _most(searches: Sequence[SearchRecord]) -> int:
    return max(1, *(len(each.tried) for each in searches))


def _padded(search: SearchRecord, most: int) -> list[float]:
    """Its best gain after 0, 1, 2, ... trainings; what a search that ended has found stays."""
    best = [0.0, *search.best_so_far]
    return best + [best[-1]] * (most + 1 - len(best))


def _points(values: Sequence[float], axis: Axis) -> str:
    step = WIDTH / (len(values) - 1)
    return " ".join(f"{at * step:.1f},{HEIGHT * (1 - axis.at(value) / 100):.1f}" for at, value in enumerate(values))
