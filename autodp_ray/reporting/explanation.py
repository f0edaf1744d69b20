"""What the parts of a strategy contribute, as explain.json has it and in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autodp_ray.result import Bounds, Figure


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StrategyPart(_Model):
    """One thing in a strategy that can be left out or be otherwise."""

    kind: Literal["operator", "team", "order"]
    name: str
    """The operator or team; of an order, as in `cleaning before generation`."""
    team: str | None = None
    """Whose operator it is."""

    @property
    def words(self) -> str:
        """As in `deduplicate (cleaning)`."""
        return f"{self.name} ({self.team})" if self.kind == "operator" else f"{self.kind} {self.name}"


class Contribution(_Model):
    """How much worse the strategy scores on test rows when one part of it is missing."""

    part: StrategyPart
    contribution: Figure | None = None
    """The strategy's score less that without the part; null where it failed without it."""
    ci95: Bounds | None = None
    changes_nothing: bool = False
    """Whether the rows are the same without the part, so that nothing had to be trained."""
    error: str | None = None
    """Why there is no contribution."""

    @model_validator(mode="after")
    def _is_measured_or_failed(self) -> Contribution:
        has_failed = self.error is not None
        if (self.contribution is None, self.ci95 is None) != (has_failed, has_failed):
            raise ValueError("either a contribution with its interval, or an error")
        return self

    @property
    def verdict(self) -> str:
        """What the interval says."""
        if self.ci95 is None:
            return "failed without it"
        if self.changes_nothing:
            return "changes nothing here"
        if self.ci95[0] > 0:
            return "helps"
        return "harms" if self.ci95[1] < 0 else "cannot be told from chance"


class Explanation(_Model):
    """explain.json."""

    strategy: str
    gain: Figure
    """Of the whole strategy over no processing, on test rows."""
    ci95: Bounds
    num_seeds: int = Field(ge=1)
    """Trainings of each variant."""
    num_rows: int = Field(ge=1)
    """Test rows."""
    contributions: tuple[Contribution, ...]
    """The largest first, then those that failed."""

    @classmethod
    def from_json(cls, text: str) -> Explanation:
        """The explanation that `to_json` wrote."""
        return cls.model_validate_json(text)

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"

    def text(self) -> str:
        """A table for people."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        low, high = self.ci95
        yield f"{self.strategy} gains {self.gain:+.4f} [{low:+.4f}, {high:+.4f}] on {self.num_rows} test rows; of it:"
        width = max((len(one.part.words) for one in self.contributions), default=0)
        for one in self.contributions:
            number = "" if one.contribution is None else f"{one.contribution:+.4f}"
            interval = "" if one.ci95 is None else f"[{one.ci95[0]:+.4f}, {one.ci95[1]:+.4f}]"
            yield f"  {one.part.words:{width}}  {number:7}  {interval:18}  {one.verdict}"
        yield (
            f"each is what is lost without it, {self.num_seeds} trainings on each side; parts that stand in for each "
            "other show less than they do, and of many intervals one in twenty misses by chance"
        )
