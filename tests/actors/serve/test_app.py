"""Where Serve listens: at an address that every node of its Ray can reach, and nowhere else. Starts nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from ray import serve
from ray.exceptions import ActorAlreadyExistsError, ActorDiedError
from ray.serve.schema import ProxyStatus

from actors.serve import app as serve_app
from actors.serve.app import ensure_serve, running_url
from operators.contract.errors import InputError, RunError


class FakeServe:
    """Remembers the HTTP options that Serve was started with; its proxy goes through states, one a look."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        head: str = "10.0.0.1",
        spans: bool,
        host: str | None = None,
        fault: Exception | None = None,
        states: Sequence[ProxyStatus] = (ProxyStatus.HEALTHY,),
    ) -> None:
        self.http = None if host is None else SimpleNamespace(host=host, port=8000)
        self.fault = fault
        self.states = list(states)
        monkeypatch.setattr(serve, "start", self._start)
        monkeypatch.setattr(serve, "status", self._status)
        monkeypatch.setattr(serve_app, "POLL_S", 0.0)
        monkeypatch.setattr(serve_app, "head_address", lambda: head)
        monkeypatch.setattr(serve_app, "spans_machines", lambda: spans)
        monkeypatch.setattr(serve_app, "_get_global_client", self._client)

    def _start(self, *, proxy_location: str, http_options: dict[str, object]) -> None:
        self.http = SimpleNamespace(**http_options)
        if self.fault is not None:
            raise self.fault

    def _status(self) -> SimpleNamespace:
        return SimpleNamespace(proxies={"head": self.states.pop(0) if len(self.states) > 1 else self.states[0]})

    def _client(self, *, raise_if_no_controller_running: bool) -> SimpleNamespace | None:
        return None if self.http is None else SimpleNamespace(http_config=self.http)


@pytest.mark.parametrize(("spans", "host"), [(True, "10.0.0.1"), (False, "127.0.0.1")])
def test_serve_is_started_where_all_nodes_reach_it_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch, spans: bool, host: str
) -> None:
    FakeServe(monkeypatch, spans=spans)
    assert ensure_serve().startswith(f"http://{host}:")


@pytest.mark.parametrize("fault", [ActorAlreadyExistsError(""), ActorDiedError(), TimeoutError()], ids=repr)
def test_a_serve_whose_first_proxy_is_slow_or_that_another_driver_starts_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    waits = [ProxyStatus.STARTING, ProxyStatus.UNHEALTHY, ProxyStatus.STARTING, ProxyStatus.HEALTHY]
    found = FakeServe(monkeypatch, spans=True, fault=fault, states=waits)
    assert ensure_serve().startswith("http://10.0.0.1:")
    assert found.states == [ProxyStatus.HEALTHY]


def test_a_serve_that_never_has_a_proxy_is_said_with_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeServe(monkeypatch, spans=True, host="10.0.0.1", states=[ProxyStatus.STARTING])
    monkeypatch.setattr(serve_app, "PROXY_WITHIN_S", 0.05)
    with pytest.raises(RunError, match=r"no HTTP proxy after 0\.05 s; see serve/proxy_\*\.log"):
        ensure_serve()


def test_a_serve_on_loopback_is_refused_where_other_nodes_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeServe(monkeypatch, spans=True, host="127.0.0.1")
    with pytest.raises(InputError, match=r"other nodes of the cluster cannot reach; set http_options\.host"):
        running_url()


def test_a_serve_on_loopback_is_used_where_the_head_stays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeServe(monkeypatch, spans=False, host="127.0.0.1")
    assert running_url() == "http://127.0.0.1:8000"


def test_serve_says_nothing_of_itself_in_the_log_of_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeServe(monkeypatch, spans=False)
    told = logging.getLogger("ray.serve")
    told.setLevel(logging.INFO)
    ensure_serve()
    assert not told.isEnabledFor(logging.INFO)
