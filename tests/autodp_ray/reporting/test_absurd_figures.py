"""Whatever number a file of results holds, it is refused by its name or its pages are drawn."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from autodp_ray.comparing.comparison import Comparison
from autodp_ray.comparing.page import comparison_page
from autodp_ray.comparing.table import comparison_table
from autodp_ray.reporting.explanation import Contribution, Explanation, StrategyPart
from autodp_ray.reporting.report import render_report
from autodp_ray.reporting.run_index import listed, render_index
from autodp_ray.reporting.summary import summary_lines
from autodp_ray.result import RunResult
from tests.autodp_ray.reporting.test_report import rich_result

COMPARISON = Path(__file__).parents[3] / "docs" / "results" / "compare.json"
EXPLANATION = Explanation(
    strategy="cleaning",
    gain=0.03,
    ci95=(0.01, 0.05),
    num_seeds=3,
    num_rows=160,
    contributions=(
        Contribution(part=StrategyPart(kind="team", name="cleaning"), contribution=0.03, ci95=(0.01, 0.05)),
    ),
)
ABSURD = (1e308, -1e308, 1e100, -1e100, 1e20, -1e20, 5e-324, 0, -1, 2**63 - 1, 10**400, -(10**400))
Place = tuple[str | int, ...]


def show_run(text: str) -> None:
    result = RunResult.from_json(text)
    render_report(result)
    render_index("runs", [listed("one", result, changed=None, page=None)])
    assert "".join(summary_lines(result, "runs/one")) + result._repr_html_()


def show_comparison(text: str) -> None:
    found = Comparison.model_validate_json(text)
    assert comparison_page(found) + comparison_table(found)


def show_explanation(text: str) -> None:
    found = Explanation.from_json(text)
    assert found.text() + render_report(rich_result(), found)


FILES: dict[str, tuple[Any, Callable[[str], None]]] = {
    "result": (json.loads(rich_result().to_json()), show_run),
    "comparison": (json.loads(COMPARISON.read_text("utf-8")), show_comparison),
    "explanation": (json.loads(EXPLANATION.to_json()), show_explanation),
}


def numbers_in(value: object, place: Place = ()) -> Iterator[Place]:
    """Where numbers stand; of a list, whose parts are alike, those of the first two."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from numbers_in(part, (*place, key))
    elif isinstance(value, list):
        for at, part in enumerate(value[:2]):
            yield from numbers_in(part, (*place, at))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield place


def with_numbers(value: object, changed: dict[Place, float]) -> str:
    found = deepcopy(value)
    for place, number in changed.items():
        part: Any = found
        for key in place[:-1]:
            part = part[key]
        part[place[-1]] = number
    return json.dumps(found)


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_absurd_numbers_are_refused_by_name_or_drawn(name: str, data: st.DataObject) -> None:
    value, show = FILES[name]
    places = sorted(numbers_in(value), key=str)
    changed = data.draw(st.dictionaries(st.sampled_from(places), st.sampled_from(ABSURD), min_size=1, max_size=3))
    try:
        show(with_numbers(value, changed))
    except ValidationError as error:
        named = {str(part) for one in error.errors() for part in one["loc"]}
        assert named & {str(part) for place in changed for part in place}


def test_the_message_names_the_figure_and_what_it_may_be() -> None:
    with pytest.raises(ValidationError, match=r"noise_floor\s+.*must not be beyond 1e\+100, got 1e\+308"):
        RunResult(status="done", noise_floor=1e308)
