"""The benchmark of operators measures each one in each language."""

from __future__ import annotations

import pytest

from benchmarks import operators
from benchmarks.gates import judge, load_bars
from operators.registry import CLEANING_RECIPE


def test_every_operator_is_measured_in_each_language_and_every_bar_has_its_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operators, "SMOKE_ROWS", 60)
    figures = operators.run(smoke=True)
    english = figures["english"]
    assert isinstance(english, dict)
    assert list(english["mb_per_cpu_s"]) == [operator.name for operator in CLEANING_RECIPE]
    slowest = min(speed["median"] for speed in english["mb_per_cpu_s"].values())
    assert english["row_operators_mb_per_cpu_s"] > 0
    assert slowest < english["parse_mb_per_cpu_s"]["median"]
    assert len(judge(load_bars()["operators"], figures, smoke=False)) == 4
