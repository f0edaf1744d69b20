"""Probabilities from a screener on Ray Serve, over HTTP: with bounded retries.

A failed call raises EndpointError; it never counts as "needs work".

Error messages name the endpoint and its status, never a row. Knows no Ray; may be pickled.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa

from actors.screening.screener import RowScreener
from actors.screening.spec import ScreenerCalls
from actors.web.exchange import HttpRequest, NoReplyError, exchange
from actors.web.hosts import public_url
from actors.web.retry import GaveUpError, PassingFaultError, Retries, RetryLimits, is_passing, passing_fault
from actors.web.throttle import Throttle
from operators.contract.errors import EndpointError


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
            raise EndpointError(f"the screener at {public_url(url)} does not say which one it is")
        return cls(url=url, revision=revision, threshold=threshold, calls=calls)

    def probabilities(self, table: pa.Table) -> list[float | None]:
        """In the rows' order; None where the verdict that arrived is no probability.

        Raises:
            EndpointError: the application did not answer, refuses the request, or serves another screener by now.
        """
        step = self.calls.rows_per_request
        rows = table.select(["history", "question", "answer"])
        chunks = [rows.slice(start, step).to_pylist() for start in range(0, rows.num_rows, step)]
        with ThreadPoolExecutor(max_workers=self.calls.concurrency, thread_name_prefix="screener-client") as pool:
            return [one for judged in pool.map(self._request, chunks) for one in judged]

    def _request(self, rows: list[dict[str, object]]) -> list[float | None]:
        reply = _ask(f"{self.url}/screen", {"rows": rows}, self.calls)
        if reply.get("revision") != self.revision:
            raise EndpointError(f"the screener at {public_url(self.url)} was replaced by another one; start again")
        judged = reply.get("probabilities")
        if not isinstance(judged, list) or len(judged) != len(rows):
            raise EndpointError(f"the screener at {public_url(self.url)} did not answer for each of {len(rows)} rows")
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
    name = f"the screener at {public_url(url)}"
    throttle = _throttle(url.rpartition("/")[0])
    patience = RetryLimits(fault_s=calls.retry_for_s, busy_s=calls.retry_busy_for_s, max_retries=calls.max_retries)
    data = None if body is None else json.dumps(body).encode()
    request = HttpRequest(url=url, timeout_s=calls.timeout_s, headers={"content-type": "application/json"}, body=data)
    try:
        return Retries(name=name, patience=patience, throttle=throttle).run(
            lambda: _attempt(request, throttle), stop=threading.Event(), on_fault=lambda: None
        )
    except GaveUpError as error:
        raise EndpointError(
            f"{name} {error}; see that it is up, or raise timeout_s, retry_for_s, retry_busy_for_s or max_retries "
            "under screener.calls"
        ) from None


def _attempt(request: HttpRequest, throttle: Throttle) -> dict[str, object]:
    """`from None`, because an HTTP library's error may quote what was sent."""
    try:
        reply = exchange(request)
    except NoReplyError as error:
        raise PassingFaultError(str(error)) from None
    if is_passing(reply.status) or reply.status == 404:  # 404: Serve without the application yet
        raise passing_fault(reply, throttle=throttle)
    if reply.status != 200:
        raise EndpointError(f"the screener at {public_url(request.url)} refused with status {reply.status}")
    try:
        said = json.loads(reply.body)
    except (ValueError, RecursionError):
        raise PassingFaultError("status 200 with a body that is no JSON") from None
    if not isinstance(said, dict):
        raise PassingFaultError("status 200 with a body that is no JSON object")
    return said


@cache
def _throttle(application: str) -> Throttle:
    """One for all requests of this process to an application."""
    return Throttle()
