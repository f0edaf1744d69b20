"""Probabilities from a screener on Ray Serve, over HTTP: bounded retries, and a fault is never a verdict.

Error messages name the endpoint and its status, never a row. Knows no Ray; may be pickled.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from actors.screening.screener import RowScreener
from actors.screening.spec import ScreenerCalls
from operators.errors import EndpointError, RunError

BACKOFF_S = 0.5
MAX_BACKOFF_S = 20.0
TRANSIENT = frozenset({408, 409, 425, 429})


class _TransientFault(Exception):
    """An answer that may be better next time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedProbabilities:
    """Probabilities from the application at `url`, for as long as it serves the screener of this revision."""

    url: str
    """The application's route, such as http://127.0.0.1:8000/screener."""
    revision: str
    threshold: float
    calls: ScreenerCalls

    @classmethod
    def at(cls, url: str, calls: ScreenerCalls | None = None) -> ServedProbabilities:
        """What the application at `url` serves now. Raises: EndpointError where it does not say."""
        calls = calls or ScreenerCalls()
        card = _ask(f"{url}/card", None, calls)
        revision, threshold = card.get("revision"), card.get("threshold")
        if not isinstance(revision, str) or not isinstance(threshold, float):
            raise EndpointError(f"the screener at {url} does not say which one it is")
        return cls(url=url, revision=revision, threshold=threshold, calls=calls)

    def probabilities(self, table: pa.Table) -> list[float | None]:
        """In the rows' order; None where the verdict that arrived is no probability.

        Raises:
            EndpointError: the application did not answer, or serves another screener by now.
            RunError: it refuses the request itself.
        """
        step = self.calls.rows_per_request
        rows = table.select(["history", "question", "answer"])
        chunks = [rows.slice(start, step).to_pylist() for start in range(0, rows.num_rows, step)]
        with ThreadPoolExecutor(max_workers=self.calls.concurrency, thread_name_prefix="screener-client") as pool:
            return [one for judged in pool.map(self._request, chunks) for one in judged]

    def _request(self, rows: list[dict[str, object]]) -> list[float | None]:
        reply = _ask(f"{self.url}/screen", {"rows": rows}, self.calls)
        if reply.get("revision") != self.revision:
            raise EndpointError(f"the screener at {self.url} was replaced by another one; start again")
        judged = reply.get("probabilities")
        if not isinstance(judged, list) or len(judged) != len(rows):
            raise EndpointError(f"the screener at {self.url} did not answer for each of {len(rows)} rows")
        return [_probability(one) for one in judged]


def served_screener(url: str, *, calls: ScreenerCalls | None = None, memo: Path | None = None) -> RowScreener:
    """The screener of an application. Raises: EndpointError where it does not answer."""
    return RowScreener(judge=ServedProbabilities.at(url, calls), memo=None if memo is None else str(memo))


def _probability(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        return None
    return float(value)


def _ask(url: str, body: Mapping[str, object] | None, calls: ScreenerCalls) -> dict[str, object]:
    """The JSON object that the application answers, after as many attempts as are allowed."""
    attempts, last = calls.max_retries + 1, "not asked"
    for attempt in range(attempts):
        try:
            return _attempt(url, body, calls.timeout_s)
        except _TransientFault as fault:
            last = str(fault)
        if attempt + 1 < attempts:
            time.sleep(min(BACKOFF_S * 2.0**attempt, MAX_BACKOFF_S))
    raise EndpointError(
        f"the screener at {url} did not answer in {attempts} attempts, at last: {last}; see that it is up, or raise "
        "timeout_s or max_retries under screener.calls"
    )


def _attempt(url: str, body: Mapping[str, object] | None, timeout_s: float) -> dict[str, object]:
    """`from None`, because an HTTP library's error may quote what was sent."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            reply = json.loads(response.read())
    except urllib.error.HTTPError as error:
        if error.code >= 500 or error.code in TRANSIENT or error.code == 404:  # 404: Serve without the application yet
            raise _TransientFault(f"status {error.code}") from None
        raise RunError(f"the screener at {url} refused with status {error.code}") from None
    except TimeoutError:
        raise _TransientFault(f"timeout after {timeout_s:g} s") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _TransientFault(f"no connection ({type(error).__name__})") from None
    except ValueError:
        raise _TransientFault("status 200 with a body that is no JSON") from None
    if not isinstance(reply, dict):
        raise _TransientFault("status 200 with a body that is no JSON object")
    return reply
