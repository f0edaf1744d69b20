"""A replica as a plain class: its card, and what it refuses. Batches need a real Serve: tests/integration."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from starlette.requests import Request

from actors.screening.screener import local_screener
from actors.screening.server import ScreenerServer
from tests.screener_rows import make_screener


@pytest.fixture(scope="module")
def folder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_screener(tmp_path_factory.mktemp("screener") / "trained", tiny_encoder)


def request(path: str, body: bytes = b"") -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b"", "server": ("h", 80)}
    return Request(scope, receive)


@pytest.mark.parametrize(
    "body", [b"{oops", b"{}", b'{"rows": [{"question": "q"}]}', b'{"rows": [{"question": "q", "answer": null}]}']
)
def test_a_wrong_body_is_refused_without_being_quoted(folder: Path, body: bytes) -> None:
    async def scenario() -> tuple[int, bytes]:
        server = ScreenerServer({"folder": str(folder)})
        answer = await server(request("/screener/screen", body))
        return answer.status_code, bytes(answer.body)

    status, said = asyncio.run(scenario())
    assert status == 400
    assert b"oops" not in said


def test_the_card_says_which_screener_is_served(folder: Path) -> None:
    async def scenario() -> bytes:
        return bytes((await ScreenerServer({"folder": str(folder)})(request("/screener/card"))).body)

    card = json.loads(asyncio.run(scenario()))
    assert card == {"revision": local_screener(str(folder)).revision, "threshold": 0.5}
