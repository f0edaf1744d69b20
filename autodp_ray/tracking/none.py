"""No tracking: a run's folder holds all that there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from autodp_ray.tracking.base import Tracking


class NoTracking(Tracking):
    """Logs to no tracker."""

    name: Literal["none"] = "none"

    def open(self, run_id: str, *, name: str) -> Unheard:
        return Unheard()


class Unheard:
    """A run that no service hears of."""

    last_step = 0

    def settings(self, values: Mapping[str, str]) -> None: ...

    def numbers(self, values: Mapping[str, float], *, step: int) -> None: ...

    def words(self, values: Mapping[str, str]) -> None: ...

    def text(self, name: str, text: str) -> None: ...

    def folder(self, name: str, path: str) -> None: ...

    def close(self, *, succeeded: bool) -> None: ...
