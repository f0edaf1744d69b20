"""Settings of the held-out splits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from operators.contract.operator import Seed

HeldOut = Literal["test", "validation", "guide"]
FEWEST_ROWS: Mapping[HeldOut, int] = {"test": 2, "validation": 2, "guide": 1}
"""Of a split that is used. One row shows no spread between rows."""


class SplitsConfig(BaseModel):
    """How many rows are held out, and how few may be left to train on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    guide: int = Field(default=64, ge=0)
    """How many rows steer `select_by_gradient`."""
    validation: int = Field(default=256, ge=FEWEST_ROWS["validation"])
    """How many rows score every strategy."""
    test: int = Field(default=512, ge=FEWEST_ROWS["test"])
    """How many rows are read once, for the claim."""
    min_train: int = Field(default=64, ge=1)
    """How many rows must be left to train on; a dataset that leaves fewer is refused."""
    seed: Seed = 0
    """Random seed for the choice of held-out rows."""
    near_duplicate_threshold: float = Field(default=0.8, gt=0.0, le=1.0)
    """The Jaccard similarity from which long parts of two rows count as alike."""
    guide_path: str | None = None
    """A file of its own for the guide split, of which at most `guide` complete rows are used."""
    validation_path: str | None = None
    """A file of its own for the validation split, as `guide_path`."""
    test_path: str | None = None
    """A file of its own for the test split, as `guide_path`."""

    def size(self, name: HeldOut) -> int:
        return {"test": self.test, "validation": self.validation, "guide": self.guide}[name]
