"""What a process has learned about an endpoint: how it wants to be asked, and how much of it at a time.

Shared by all clients of the process, so that what one request learns, the others need not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from actors.llm.request_form import RequestForm
from actors.web.throttle import Throttle


class EndpointState:
    """The form that an endpoint takes; the first request of each kind finds it out alone."""

    def __init__(self, first: RequestForm, *, throttle: Throttle) -> None:
        self.throttle = throttle
        self._form = first
        self._tried: set[bool] = set()
        self._finding = threading.Lock()

    @property
    def form(self) -> RequestForm:
        """What is known now."""
        return self._form

    def learn(self, form: RequestForm, *, began: RequestForm) -> None:
        """The endpoint took a request in this form, which began in another one."""
        if self._form == began:
            self._form = form

    def know(self, form: RequestForm) -> None:
        """Another process found out how the endpoint wants to be asked."""
        self._form = form
        self._tried |= {False, True}

    @contextmanager
    def finding(self, *, with_schema: bool) -> Iterator[None]:
        """The first request of its kind goes alone, until it is taken, refused or failed; then all others may go."""
        if with_schema in self._tried:
            yield
            return
        with self._finding:
            if with_schema not in self._tried:
                try:
                    yield
                finally:
                    self._tried.add(with_schema)
                return
        yield


_states: dict[tuple[str, str, str], EndpointState] = {}
_throttles: dict[tuple[str, str], Throttle] = {}
_lock = threading.Lock()


def endpoint_state(base_url: str, model: str, *, first: RequestForm, settings: str) -> EndpointState:
    """The state of an endpoint that is asked with these settings; its throttle is the same for all settings."""
    with _lock:
        throttle = _throttles.setdefault((base_url, model), Throttle())
        key = (base_url, model, f"{first}{settings}")
        return _states.setdefault(key, EndpointState(first, throttle=throttle))
