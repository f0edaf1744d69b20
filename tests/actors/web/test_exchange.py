from __future__ import annotations

import gzip
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from actors.web import exchange as web_exchange
from actors.web.exchange import HttpReply, HttpRequest, NoReplyError, exchange
from operators.contract.errors import InputError

Speak = Callable[[socket.socket], None]
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@contextmanager
def listening(speak: Speak) -> Iterator[str]:
    """A server that says what it is told to, byte by byte; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(65536)
                speak(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        server.shutdown(socket.SHUT_RDWR)


def ask(url: str, *, timeout_s: float = 5.0) -> HttpReply:
    return exchange(HttpRequest(url=url, timeout_s=timeout_s, body=b'{"rows": "canary"}'))


def dripping(first: bytes) -> Speak:
    def speak(connection: socket.socket) -> None:
        connection.sendall(first)
        for _ in range(200):
            time.sleep(0.05)
            connection.sendall(b"x")

    return speak


@pytest.mark.parametrize(
    "speak",
    [
        dripping(HEAD + b"content-length: 1000\r\n\r\n"),
        dripping(HEAD + b"x-long: "),
        dripping(b"HTTP/1.1 200 "),
        dripping(HEAD + b"transfer-encoding: chunked\r\n\r\n1"),
        lambda connection: time.sleep(10),
    ],
)
def test_the_deadline_holds_for_the_whole_reply_however_slowly_it_drips(speak: Speak) -> None:
    with listening(speak) as url:
        started = time.monotonic()
        with pytest.raises(NoReplyError, match=r"timeout after 0\.4 s"):
            ask(url, timeout_s=0.4)
        assert time.monotonic() - started < 8, "the other side takes ten"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        HEAD + b"content-length: 1000\r\n\r\n{",
        HEAD + b"content-length: -5\r\n\r\n{}",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}",
        HEAD + b"content-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        HEAD + b"x: " + b"y" * 300_000 + b"\r\n\r\n",
    ],
)
def test_a_reply_that_breaks_is_no_reply(said: bytes) -> None:
    with listening(lambda connection: connection.sendall(said)) as url, pytest.raises(NoReplyError) as caught:
        ask(url)
    assert "canary" not in str(caught.value)


BOMB = gzip.compress(b"x" * 2**24)


@pytest.mark.parametrize(
    "said",
    [
        HEAD + b"\r\n" + b"x" * 2**22,
        HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB) + BOMB,
    ],
    ids=["plain", "packed"],
)
def test_a_gigantic_body_is_read_to_a_bound(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr(web_exchange, "MAX_REPLY_BYTES", 2**20)
    gigantic = pytest.raises(NoReplyError, match="more than 1 MiB")
    with listening(lambda connection: connection.sendall(said)) as url, gigantic:
        ask(url)


def test_a_redirect_is_returned_and_not_followed() -> None:
    asked: list[str] = []
    with listening(lambda connection: asked.append("elsewhere")) as elsewhere:
        said = f"HTTP/1.1 307 T\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n".encode()
        with listening(lambda connection: connection.sendall(said)) as url:
            assert ask(url).status == 307
    assert asked == []


@pytest.fixture
def fresh_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is read anew, as by a process that starts."""
    monkeypatch.setattr(web_exchange, "_processes", {})
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("fresh_connections")
def test_a_host_of_the_cluster_is_asked_without_the_environment_s_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    reply = HEAD + b"content-length: 2\r\n\r\n{}"
    with listening(lambda connection: asked.append(b"proxy")) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        with listening(lambda connection: connection.sendall(reply)) as url:
            assert ask(url).body == b"{}"
        assert asked == []
        with pytest.raises(NoReplyError):
            ask("http://chat.example.org/v1")
        assert asked == [b"proxy"], "an endpoint outside is asked as the environment says"
        with pytest.raises(NoReplyError):
            exchange(HttpRequest(url="http://chat.example.org/v1", timeout_s=5, body=b"", is_near=True))
        assert asked == [b"proxy"]


@pytest.mark.usefixtures("fresh_connections")
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://user:canary@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(InputError, match=r"ALL_PROXY.*NO_PROXY") as caught:
        ask("http://chat.example.org/v1")
    assert "canary" not in str(caught.value)
    assert ("socksio" in str(caught.value)) == proxy.startswith("socks")


def test_many_threads_ask_at_once_without_mixing_replies() -> None:
    def echo(connection: socket.socket) -> None:
        time.sleep(0.01)
        name = threading.current_thread().name.encode()
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(name) + name)

    with listening(echo) as url:
        replies: list[bytes] = []
        threads = [threading.Thread(target=lambda: replies.append(ask(url).body)) for _ in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(replies)) == 40
