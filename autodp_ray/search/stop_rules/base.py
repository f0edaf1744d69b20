"""What every stop rule is: a frozen spec in the config that builds the object which is asked before each round."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from autodp_ray.search.proposal import StopReason, StopRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a run has spent in all its attempts."""

    seconds: float
    tokens: int
    trainings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInputs:
    """What a run tells its stop rules beside the scores."""

    spent: Callable[[], Spent]
    has_begun: Callable[[int], bool]
    """Whether the round of that number began in an earlier attempt."""


class StopRuleSpec(BaseModel, ABC):
    """A stop rule as the config names it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stops: ClassVar[StopReason]
    """What the result and the report say of a search that it ended."""

    @abstractmethod
    def build(self, inputs: StopInputs) -> StopRule:
        """The object that is asked before each round."""
