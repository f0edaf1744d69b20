"""One HTTP request and its whole reply, within one deadline.

The deadline covers everything: name, connection, TLS, what is sent, headers and every byte of the body. A thread of the
process runs the event loop that all requests share, so that any of them can be given up at any moment. No redirect is
followed, since it would carry rows to another host; a host of the cluster is asked without the environment's proxies.
Messages hold no part of a request or a reply.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import httpx2

from actors.web.hosts import host_of, is_near
from operators.contract.errors import InputError

CONNECT_TIMEOUT_S = 10.0
MAX_REPLY_BYTES = 32 * 2**20
"""Of one reply's body; a chat completion has some kilobytes."""
MAX_IDLE_CONNECTIONS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What is sent, and how long all of it may take."""

    url: str = field(repr=False)
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    """None asks with GET."""
    is_near: bool | None = None
    """Whether no proxy stands between; None: as the host's name says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpReply:
    """A whole reply; header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


class NoReplyError(Exception):
    """There was no whole reply; the message says why in a few words that hold no text of anybody."""


class Exchange(Protocol):
    """Sends a request and waits for its whole reply."""

    def __call__(self, request: HttpRequest) -> HttpReply:
        """Raises: NoReplyError where none came in time, InputError where the environment's proxies cannot be used."""


def exchange(request: HttpRequest) -> HttpReply:
    """See `Exchange`."""
    near = is_near(host_of(request.url)) if request.is_near is None else request.is_near
    requests = _requests_of_this_process()
    return asyncio.run_coroutine_threadsafe(requests.send(request, near=near), requests.loop).result()


class _Requests:
    """An event loop in a thread of its own, and the connections that it keeps open."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._clients: dict[bool, httpx2.AsyncClient] = {}
        threading.Thread(target=self.loop.run_forever, name="http-requests", daemon=True).start()

    async def send(self, request: HttpRequest, *, near: bool) -> HttpReply:
        """The reply; the clean-up of a request that is given up is not waited for longer than the request."""
        try:
            async with asyncio.timeout(request.timeout_s):
                return await self._reply(request, near=near)
        except (TimeoutError, httpx2.TimeoutException):
            raise NoReplyError(f"timeout after {request.timeout_s:g} s") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            raise NoReplyError(f"no connection ({type(error).__name__})") from None

    async def _reply(self, request: HttpRequest, *, near: bool) -> HttpReply:
        method = "GET" if request.body is None else "POST"
        headers = {"accept-encoding": "identity", **request.headers}
        async with self._client(near=near).stream(
            method, request.url, content=request.body, headers=headers
        ) as response:
            body = bytearray()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_REPLY_BYTES:
                    raise NoReplyError(f"a reply of more than {MAX_REPLY_BYTES // 2**20} MiB")
            return HttpReply(status=response.status_code, headers=dict(response.headers), body=bytes(body))

    def _client(self, *, near: bool) -> httpx2.AsyncClient:
        if near not in self._clients:
            try:
                self._clients[near] = httpx2.AsyncClient(
                    trust_env=not near,
                    follow_redirects=False,
                    timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),  # the deadline is ours
                    limits=httpx2.Limits(max_connections=None, max_keepalive_connections=MAX_IDLE_CONNECTIONS),
                )
            except (ImportError, ValueError) as error:
                needs = "needs the package socksio (pip install socksio)" if isinstance(error, ImportError) else ""
                raise InputError(
                    f"the proxy that the environment names (ALL_PROXY, HTTPS_PROXY or HTTP_PROXY) "
                    f"{needs or 'is no proxy URL'}; mend it, unset it, or name the endpoint's host in NO_PROXY"
                ) from None
        return self._clients[near]


_processes: dict[int, _Requests] = {}
_starting = threading.Lock()


def _requests_of_this_process() -> _Requests:
    """Threads do not survive a fork, so a process never uses the loop of its parent."""
    with _starting:
        if os.getpid() not in _processes:
            _processes[os.getpid()] = _Requests()
        return _processes[os.getpid()]
