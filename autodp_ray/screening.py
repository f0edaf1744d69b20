"""The screener of a run, from the config's section `screener`."""

from __future__ import annotations

from actors.storage import Storage
from autodp_ray.screener_config import ScreenerConfig
from operators.base import Screener
from operators.errors import InputError


def open_screener(config: ScreenerConfig, cache: Storage) -> Screener | None:
    """The screener that works in the process that asks it; None where the config names none.

    Raises: InputError where its folder holds none.
    """
    if config.folder is None:
        return None
    raise InputError(f"screener.folder {config.folder!r}: no screener can be opened yet")


def team_screener(config: ScreenerConfig, cache: Storage) -> Screener | None:
    """The screener that picks the rows that teams work on; None where target selection is off."""
    return open_screener(config, cache) if config.pts else None
