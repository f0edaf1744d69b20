"""Metrics count where Ray runs, and nowhere else."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import pytest
import ray

from actors.cluster.metrics import CACHE_LOOKUPS, METRICS, Latency, Level, Metric, Total, count_lookups


class Recorded(Total):
    """A metric that writes down what it would tell Ray."""

    __slots__ = ()

    def _make(self) -> object:
        return self

    def inc(self, value: float, *, tags: Mapping[str, str]) -> None:
        SEEN.append((value, dict(tags)))


SEEN: list[tuple[float, dict[str, str]]] = []


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    SEEN.clear()
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    return Recorded(name="autodp_test", text="Of a test.", labels=("role", "kind"))


def test_labels_are_named_in_the_order_of_the_declaration(recorded: Recorded) -> None:
    recorded.add(3, "judge", "prompt")
    assert SEEN == [(3, {"role": "judge", "kind": "prompt"})]


def test_nothing_is_counted_for_nothing(recorded: Recorded) -> None:
    recorded.add(0, "judge", "prompt")
    assert SEEN == []


def test_a_label_that_is_missing_is_a_fault_of_the_code(recorded: Recorded) -> None:
    with pytest.raises(ValueError, match="shorter"):
        recorded.add(1, "judge")


def test_without_a_running_ray_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    metric = Recorded(name="autodp_test", text="Of a test.")
    metric.add(1)
    assert metric._of_ray() is None
    assert metric._made == []


def test_hits_and_misses_add_up_to_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[tuple[str, ...], float] = {}
    monkeypatch.setattr(Total, "add", lambda self, value, *labels: seen.update({(self.name, *labels): value}))
    count_lookups("scores", hits=2, asked=5)
    assert seen == {(CACHE_LOOKUPS.name, "scores", "hit"): 2, (CACHE_LOOKUPS.name, "scores", "miss"): 3}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_of_a_kind_and_says_what_it_is(metric: Metric) -> None:
    assert isinstance(metric, Total | Level | Latency)
    assert metric.name.startswith("autodp_")
    assert metric.text.endswith(".")


def test_functions_that_count_are_pickled_without_what_they_count_with() -> None:
    assert pickle.loads(pickle.dumps(count_lookups)) is count_lookups
