"""The chat API over one engine: routes, streaming, errors. A FastAPI application, no Ray.

Error messages carry no text of a request: what is wrong is named by field.
"""

from __future__ import annotations

import asyncio
from codecs import BOM_UTF8
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from actors.cpu_engine.batcher import Batcher
from actors.cpu_engine.engine import TransformersEngine
from actors.cpu_engine.prompts import PromptTooLongError
from actors.cpu_engine.row import ActiveRequest, GenerationReply
from actors.cpu_engine.wire import (
    ChatBody,
    error_body,
    model_card,
    new_reply_id,
    reply_body,
    sse,
    stream_event,
    usage_event,
)


class ChatService:
    """Answers chat requests with an engine; a plain class, the deployment stands around it."""

    def __init__(
        self, engine: TransformersEngine, *, model: str, revision: str, batch_wait_s: float, default_max_tokens: int
    ) -> None:
        self._engine = engine
        self._model = model
        self._revision = revision
        self._default_max_tokens = default_max_tokens
        self._batcher = Batcher(engine, batch_wait_s=batch_wait_s)

    def close(self) -> None:
        """Stops serving."""
        self._batcher.close()

    def check_health(self) -> None:
        """Raises when no request can be served any more."""
        if not self._batcher.is_alive():
            raise RuntimeError("the batching thread has ended")

    async def models(self) -> Response:
        """GET /v1/models."""
        return JSONResponse({"object": "list", "data": [self._card()]})

    async def model(self, model: str) -> Response:
        """GET /v1/models/ID."""
        return JSONResponse(self._card()) if model == self._model else self._no_such_model()

    def _card(self) -> dict[str, object]:
        return model_card(model=self._model, revision=self._revision, max_model_len=self._engine.max_model_len)

    def _no_such_model(self) -> Response:
        return _refuse(f"the model served here is {self._model!r}", status=404, code="model_not_found")

    async def health(self) -> Response:
        """GET /health."""
        alive = self._batcher.is_alive()
        return JSONResponse({"status": "ok" if alive else "failed"}, status_code=200 if alive else 503)

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        if _is_foreign(request):
            return _refuse("requests of other sites' pages are not answered", status=403)
        try:
            body = ChatBody.model_validate_json((await request.body()).removeprefix(BOM_UTF8))
        except ValidationError as error:
            return _refuse(describe(error))
        if body.model != self._model:
            return self._no_such_model()
        try:
            generation = body.generation(default_max_tokens=self._default_max_tokens)
            row = await asyncio.to_thread(self._engine.prepare, generation)
        except PromptTooLongError as error:
            return _refuse(str(error), code="context_length_exceeded")
        except ValueError as error:
            return _refuse(str(error))
        if body.stream:
            include_usage = body.stream_options is not None and body.stream_options.include_usage
            events = self._stream(row, include_usage=include_usage)
            return StreamingResponse(events, media_type="text/event-stream")
        try:
            reply = await asyncio.wrap_future(self._batcher.submit(row))
        except RuntimeError as error:  # the model's own fault: out of memory, a closed batcher
            return _fail(error)
        return JSONResponse(reply_body(reply, model=self._model, revision=self._revision))

    async def _stream(self, row: ActiveRequest, *, include_usage: bool) -> AsyncIterator[str]:
        loop, reply_id = asyncio.get_running_loop(), new_reply_id()
        pieces: asyncio.Queue[str | None] = asyncio.Queue()

        def send(piece: str) -> None:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        row.on_text = send
        future = asyncio.wrap_future(self._batcher.submit(row))
        future.add_done_callback(lambda _: pieces.put_nowait(None))
        yield sse(stream_event(reply_id=reply_id, model=self._model, delta={"role": "assistant", "content": ""}))
        try:
            while (piece := await pieces.get()) is not None:
                yield sse(stream_event(reply_id=reply_id, model=self._model, delta={"content": piece}))
            reply: GenerationReply = await future
        except RuntimeError as error:
            yield sse(_fault(error))
            return
        finally:
            future.cancel()  # does nothing to a reply that is complete; else the client is gone
        end = stream_event(reply_id=reply_id, model=self._model, delta={}, finish_reason=reply.finish_reason)
        yield sse(end)
        if include_usage:
            yield sse(usage_event(reply, reply_id=reply_id, model=self._model))
        yield sse("[DONE]")


def add_routes(app: FastAPI, service: ChatService) -> None:
    """The API's routes on an application."""
    app.add_api_route("/v1/models", service.models, methods=["GET"])
    app.add_api_route("/v1/models/{model:path}", service.model, methods=["GET"])
    app.add_api_route("/v1/chat/completions", service.chat, methods=["POST"])
    app.add_api_route("/health", service.health, methods=["GET"])
    app.add_exception_handler(HTTPException, _no_route)


def _is_foreign(request: Request) -> bool:
    """Whether a browser sends this for a page of another site, which could reach a loopback address so."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


async def _no_route(request: Request, error: Exception) -> Response:
    """What no route answers, in the form of all other errors."""
    assert isinstance(error, HTTPException)
    return _refuse(f"{request.method} is not answered at this path: {error.detail}", status=error.status_code)


def describe(error: ValidationError) -> str:
    """Which fields are wrong and why, without their values."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False)
    )


def _refuse(message: str, *, status: int = 400, code: str | None = None) -> Response:
    return JSONResponse(error_body(message, kind="invalid_request_error", code=code), status_code=status)


def _fault(error: RuntimeError) -> dict[str, object]:
    return error_body(f"the model failed: {type(error).__name__}", kind="server_error")


def _fail(error: RuntimeError) -> Response:
    return JSONResponse(_fault(error), status_code=500)
