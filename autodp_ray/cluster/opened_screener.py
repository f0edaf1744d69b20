"""From the config's `screener` section to a screener that teams can ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from actors.screening.client import served_screener
from actors.screening.screener import RowScreener, local_screener
from actors.storage.storage import Storage
from autodp_ray.config.screener_config import ScreenerConfig
from autodp_ray.memo_folder import SCREENINGS, memo_folder


def in_process_screener(config: ScreenerConfig, cache: Storage) -> RowScreener | None:
    """The run's screener in the process that asks it, however `reach` says that teams reach it; None without one.

    For what comes before a run connects to Ray, and for what wants its revision alone.

    Raises: InputError where the folder holds no screener.
    """
    return None if config.folder is None else local_screener(config.folder, memo=memo_folder(cache) / SCREENINGS)


@contextmanager
def opened_screener(config: ScreenerConfig, cache: Storage | None) -> Iterator[RowScreener | None]:
    """The run's screener, None without one; an application is let go of at the end.

    Verdicts are remembered by each machine for a cache; without one they are not.

    Raises:
        InputError: the folder holds no screener, or an application serves another one.
        EndpointError: an application does not answer.
    """
    if config.folder is None:
        yield None
        return
    memo = None if cache is None else memo_folder(cache) / SCREENINGS
    if config.reach == "local":
        yield local_screener(config.folder, memo=memo)
        return
    from actors.screening.server import start_screener, stop_screener  # loads Serve

    url, is_held = start_screener(config.spec())
    try:
        yield served_screener(url, calls=config.calls, memo=memo)
    finally:
        if is_held:
            stop_screener(config.spec())
