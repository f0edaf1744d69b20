"""Distribution-preserving samples for the search: one function per method, each over ids and group labels.

Knows which rows to take, and nothing of how they were grouped (row_groups.py) or screened. Clean and noisy rows are two
calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from autodp_ray.row_groups import ordered_groups

_SALT = "sampling/random"


class SamplingConfig(BaseModel):
    """How large a sample is searched on. Source: paper, section 3.4 (20 %)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["random"] = "random"
    rate: float = Field(default=0.2, gt=0.0, le=1.0)
    """Share of the rows that is drawn."""
    seed: int = 0
    whole_groups: bool = True
    """Draw all near-duplicates of a row with it, so that a sample has as many copies as the whole."""


def sample_random(ids: Sequence[str], groups: np.ndarray, config: SamplingConfig) -> np.ndarray:
    """Row indices of a uniform sample, ascending, int64 [n]; the same rows for any order of the rows.

    With whole groups n is within half of the last group drawn of rate * N, and never 0 while there are rows; without
    them n is rate * N, rounded, at least 1. `groups` is int64 [N].
    """
    if not config.whole_groups:
        groups = np.arange(len(ids))
    members = ordered_groups(ids, groups, seed=config.seed, salt=_SALT)
    filled = np.cumsum([len(rows) for rows in members])
    target = config.rate * len(ids)
    chosen = members[: max(1, int(np.argmin(np.abs(np.concatenate([[0], filled]) - target))))]
    return np.sort(np.concatenate(chosen)).astype(np.int64) if chosen else np.empty(0, dtype=np.int64)
