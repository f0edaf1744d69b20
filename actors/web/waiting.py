"""How long a server asks its clients to wait, in every form that services use."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"-?\d{1,16}(?:\.\d{1,9})?")
_RESET = re.compile(r"(?:x-|anthropic-)?ratelimit-(?:(.+)-)?reset(?:-(.+))?")
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
"""Numbers from here on are no durations: moments, in seconds or in milliseconds since 1970."""


def asked_to_wait_s(headers: Mapping[str, str], *, now: float) -> float | None:
    """Seconds to wait, None where a reply's headers (names in lower case) do not say; `now` in seconds since 1970."""
    known = {name.lower(): value.strip() for name, value in headers.items()}
    now = _server_time(known.get("date"), now)
    milliseconds = _number(known.get("retry-after-ms", ""))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    if (said := _wait_s(known.get("retry-after", ""), now)) is not None:
        return said
    return _until_reset_s(known, now)


def _until_reset_s(headers: Mapping[str, str], now: float) -> float | None:
    """Until the limit that is used up is full again; where none says what remains, until the last of them is."""
    spent: list[float] = []
    untold: list[float] = []
    for name, value in headers.items():
        wait_s = _wait_s(value, now) if _RESET.fullmatch(name) else None
        if wait_s is None:
            continue
        remaining = headers.get(name.replace("reset", "remaining"))
        if remaining is None:
            untold.append(wait_s)
        elif _number(remaining) == 0:
            spent.append(wait_s)
    return max(spent or untold, default=None)


def _wait_s(text: str, now: float) -> float | None:
    """A number of seconds, a duration such as 6m0s, a moment since 1970, an HTTP date or an ISO one."""
    number = _number(text)
    if number is not None:
        if number >= _EPOCH_S:
            number = number / (1000 if number >= _EPOCH_MS else 1) - now
        return max(0.0, number)
    if text and _DURATION.sub("", text) == "":
        return sum(float(amount) * _UNITS_S[unit] for amount, unit in _DURATION.findall(text))
    moment = _moment(text)
    return None if moment is None else max(0.0, moment - now)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _moment(text: str) -> float | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            moment = read(text[:64])
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError, TypeError):
            continue
    return None


def _server_time(date: str | None, now: float) -> float:
    """The server's own clock where it says what it shows: moments are by that one."""
    moment = None if date is None else _moment(date)
    return now if moment is None or not math.isfinite(moment) else moment
