"""What every tracking service is: a frozen spec in the config that opens one run there.

A service is told names and numbers; what they mean it does not know (autodp_ray/runs/recording.py). No row goes there.
"""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Protocol

from actors.llm.engines.base import EnginePackage
from operators.contract.errors import InputError
from operators.contract.family import Member


class Experiment(Protocol):
    """One run at a service. Each method raises RunError where the service does not take it."""

    @property
    def last_step(self) -> int:
        """The last step of which an earlier attempt at the run has told numbers; 0 where there was none."""

    def settings(self, values: Mapping[str, str]) -> None:
        """What the run was started with."""

    def numbers(self, values: Mapping[str, float], *, step: int) -> None:
        """What it has found by a step."""

    def words(self, values: Mapping[str, str]) -> None:
        """What else is to be said of it; a later word takes the place of an earlier one."""

    def text(self, name: str, text: str) -> None:
        """A file of it."""

    def folder(self, name: str, path: str) -> None:
        """A local folder of files of it."""

    def close(self, *, succeeded: bool) -> None:
        """It has ended."""


class Tracking(Member, ABC):
    """A tracking service as the config names it."""

    packages: ClassVar[tuple[EnginePackage, ...]] = ()
    """What the driver must have installed."""

    def require_packages(self) -> None:
        """Raises: InputError where a package is not installed."""
        for package in self.packages:
            if importlib.util.find_spec(package.module) is None:
                raise InputError(f"tracking: {package.module} is not installed here: {package.install}")

    @abstractmethod
    def open(self, run_id: str, *, name: str) -> Experiment:
        """The run of that id there: the one of an earlier attempt, else a new one of that name.

        Raises: InputError where the service cannot be had.
        """
