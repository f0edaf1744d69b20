"""What Prometheus can see of a command: every metric by name, and how it is counted.

A process without a running Ray counts nothing, and pays a look at `sys.modules` for it. Work that Ray repeats on
another worker counts again: what a run did once stands in its journal and result. Labels are names out of the code and
the config, never a row's.
"""

from __future__ import annotations

import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Scale = Literal["short", "s", "bytes"]
"""As Grafana names them."""
CHAT_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Upper bounds of the latencies that are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(ABC):
    """One metric. Its Ray counterpart is made by each process that counts, when it first does."""

    name: str
    text: str
    labels: tuple[str, ...] = ()
    unit: Scale = "short"
    _made: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def exported(self) -> str:
        """The name on Ray's metrics endpoint."""
        return f"ray_{self.name}"

    def _of_ray(self) -> Any:  # noqa: ANN401 - the type is known where the module of Ray is loaded
        """The metric as Ray's, or None where no Ray runs."""
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return None
        with self._lock:
            if not self._made:
                self._made.append(self._make())
        return self._made[0]

    @abstractmethod
    def _make(self) -> object:
        """Ray's metric."""

    def _tags(self, labels: tuple[str, ...]) -> Mapping[str, str]:
        return dict(zip(self.labels, labels, strict=True))


class Total(Metric):
    """Only ever grows."""

    __slots__ = ()

    @property
    def exported(self) -> str:
        return f"ray_{self.name}_total"

    def add(self, value: float, *labels: str) -> None:
        """So much more; nothing is counted for 0."""
        if value > 0 and (counter := self._of_ray()) is not None:
            counter.inc(value, tags=self._tags(labels))

    def _make(self) -> object:
        from ray.util.metrics import Counter  # where Ray runs, it is loaded

        return Counter(self.name, description=self.text, tag_keys=self.labels)


class Level(Metric):
    """Goes up and down."""

    __slots__ = ()

    def set(self, value: float, *labels: str) -> None:
        """So much now, in this process."""
        if (gauge := self._of_ray()) is not None:
            gauge.set(value, tags=self._tags(labels))

    def _make(self) -> object:
        from ray.util.metrics import Gauge  # where Ray runs, it is loaded

        return Gauge(self.name, description=self.text, tag_keys=self.labels)


class Latency(Metric):
    """How long things of one kind take."""

    __slots__ = ()

    def observe(self, seconds: float, *labels: str) -> None:
        """One of them took so long."""
        if (histogram := self._of_ray()) is not None:
            histogram.observe(seconds, tags=self._tags(labels))

    def _make(self) -> object:
        from ray.util.metrics import Histogram  # where Ray runs, it is loaded

        return Histogram(self.name, description=self.text, boundaries=list(CHAT_SECONDS), tag_keys=self.labels)


ROWS_IN = Total(name="autodp_rows_in", text="Rows that an operator was given.", labels=("operator",))
ROWS_OUT = Total(name="autodp_rows_out", text="Rows that an operator gave back.", labels=("operator",))
ROWS_DROPPED = Total(
    name="autodp_rows_dropped", text="Rows that an operator dropped, by reason.", labels=("operator", "reason")
)
PART_BYTES = Total(
    name="autodp_part_bytes", text="Bytes of datasets' parts, read or written.", labels=("direction",), unit="bytes"
)
CHAT_CALLS = Total(
    name="autodp_chat_calls", text="Calls of chat models: requested, executed, faults.", labels=("role", "kind")
)
CHAT_TOKENS = Total(
    name="autodp_chat_tokens", text="Tokens that chat models read (prompt) and wrote.", labels=("role", "kind")
)
CHAT_LATENCY = Latency(
    name="autodp_chat_seconds", text="Seconds until a chat model's whole reply.", labels=("role",), unit="s"
)
CHAT_WAITING = Level(
    name="autodp_chat_waiting", text="Requests to chat models that have no reply yet.", labels=("role",)
)
CACHE_LOOKUPS = Total(
    name="autodp_cache_lookups", text="What a tier of the caches was asked for: hit or miss.", labels=("tier", "found")
)
TRAININGS = Total(name="autodp_trainings", text="Trainings that ended: done or failed.", labels=("end",))
TRAINING_SECONDS = Total(
    name="autodp_training_seconds", text="Seconds of trainings by their phase.", labels=("phase",), unit="s"
)
TRAININGS_WAITING = Level(name="autodp_trainings_waiting", text="Trainings that wait for workers.")
PHASE_SECONDS = Level(
    name="autodp_phase_seconds", text="Seconds of a run by its phase, once it is over.", labels=("phase",), unit="s"
)

METRICS: tuple[Metric, ...] = (
    ROWS_IN,
    ROWS_OUT,
    ROWS_DROPPED,
    PART_BYTES,
    CHAT_CALLS,
    CHAT_TOKENS,
    CHAT_LATENCY,
    CHAT_WAITING,
    CACHE_LOOKUPS,
    TRAININGS,
    TRAINING_SECONDS,
    TRAININGS_WAITING,
    PHASE_SECONDS,
)
"""All that there are; the dashboard (deploy/grafana) is made from them."""


def count_lookups(tier: str, *, hits: int, asked: int) -> None:
    """What a tier of the caches was asked for, and what of it was there."""
    CACHE_LOOKUPS.add(hits, tier, "hit")
    CACHE_LOOKUPS.add(asked - hits, tier, "miss")
