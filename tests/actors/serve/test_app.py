"""Where Serve listens: at an address that every node of its Ray can reach, and nowhere else. Starts nothing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray import serve

from actors.serve import app as serve_app
from actors.serve.app import ensure_serve, running_url
from operators.contract.errors import InputError


class FakeServe:
    """Remembers the HTTP options that Serve was started with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, head: str, spans: bool, host: str | None = None) -> None:
        self.http = None if host is None else SimpleNamespace(host=host, port=8000)
        monkeypatch.setattr(serve, "start", self._start)
        monkeypatch.setattr(serve_app, "head_address", lambda: head)
        monkeypatch.setattr(serve_app, "spans_machines", lambda: spans)
        monkeypatch.setattr(serve_app, "_get_global_client", self._client)

    def _start(self, *, proxy_location: str, http_options: dict[str, object]) -> None:
        self.http = SimpleNamespace(**http_options)

    def _client(self, *, raise_if_no_controller_running: bool) -> SimpleNamespace | None:
        return None if self.http is None else SimpleNamespace(http_config=self.http)


@pytest.mark.parametrize(("spans", "host"), [(True, "10.0.0.1"), (False, "127.0.0.1")])
def test_serve_is_started_where_all_nodes_reach_it_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch, spans: bool, host: str
) -> None:
    FakeServe(monkeypatch, head="10.0.0.1", spans=spans)
    assert ensure_serve().startswith(f"http://{host}:")


def test_a_serve_on_loopback_is_refused_where_other_nodes_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeServe(monkeypatch, head="10.0.0.1", spans=True, host="127.0.0.1")
    with pytest.raises(InputError, match=r"other nodes of the cluster cannot reach; set http_options\.host"):
        running_url()


def test_a_serve_on_loopback_is_used_where_the_head_stays_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeServe(monkeypatch, head="10.0.0.1", spans=False, host="127.0.0.1")
    assert running_url() == "http://127.0.0.1:8000"
