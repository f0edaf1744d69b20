"""The config's section `screener`: which screener a run has, and what it is used for."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ScreenerConfig(BaseModel):
    """Without a screener, sampling draws clean and noisy rows together and every team sees every row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str | None = None
    """The folder that `autodp screen train` wrote; null is no screener."""
    pts: bool = True
    """Progressive target selection: teams work only on rows that need it. Off, they see all."""
