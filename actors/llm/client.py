"""Chats with any OpenAI-compatible endpoint: concurrent, with bounded retries, and never the same question twice.

Implements `operators.base.Completer`. Error messages name the endpoint and its status, never the text of a request or a
reply. Knows no Ray; may be pickled, each process connects for itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from json import JSONDecodeError, loads
from typing import Any

import openai
from openai.types.chat import ChatCompletion

from actors.llm.completion_store import CompletionStore, completion_key
from actors.llm.spec import LLMEndpoint, LLMSpec, named_revision
from actors.llm.usage import Usage
from operators.base import Completion, CompletionRequest
from operators.errors import EndpointError, InputError, RunError

BACKOFF_S = 0.5
MAX_BACKOFF_S = 20.0
CONNECT_TIMEOUT_S = 10.0
CONFIG_FAULTS = frozenset({401, 403, 404})
"""Statuses that only another config can mend; but Serve says 404 of an application that is gone, or not there yet."""
TRANSIENT = frozenset({408, 409, 425, 429})
ABANDONED = frozenset({"abort", "cancelled", "error"})
"""Finish reasons of a reply that the server gave up half-way."""
FILTERED = "content_filter"
LASTING = frozenset({"stop", "length"})
"""Finish reasons of replies that are remembered: others say nothing that has to hold for the next time."""


class _TransientFault(Exception):
    """An answer that may be better next time."""

    def __init__(self, status: str, retry_after_s: float | None = None) -> None:
        super().__init__(status, retry_after_s)
        self.status = status
        self.retry_after_s = retry_after_s


class ChatClient:
    """Completes chats at one endpoint."""

    def __init__(self, endpoint: LLMEndpoint, spec: LLMSpec, *, store: CompletionStore | None = None) -> None:
        self.endpoint = endpoint
        self.spec = spec
        self._store = store
        self._usage = Usage()
        self._lock = threading.Lock()
        self._openai: openai.OpenAI | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return (_remake, (self.endpoint, self.spec, self._store))

    @property
    def revision(self) -> str:
        """Identifies the model and what shapes its replies; empty where the endpoint declares no revision."""
        return named_revision(self.endpoint.model, self.endpoint.revision)

    def usage(self) -> Usage:
        """What was asked of this client so far; subtract two snapshots for what happened in between."""
        with self._lock:
            return self._usage

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order; equal requests and remembered ones are not executed again.

        Raises:
            EndpointError: the endpoint timed out, refused or failed in every attempt.
            InputError: it does not know the key or the model.
            RunError: it refuses the request itself.
        """
        revision = self.revision or self.endpoint.model  # a run's own store may serve several undeclared models
        keys = [completion_key(request, revision=revision) for request in requests]
        known = {} if self._store is None else self._store.get(list(dict.fromkeys(keys)))
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        known.update(self._execute(missing))
        self._count(Usage(calls_requested=len(requests)))
        return [known[key] for key in keys]

    def chat(
        self,
        messages: Sequence[tuple[str, str]],
        *,
        seed: int = 0,
        temperature: float | None = None,
        max_tokens: int | None = None,
        json_schema: str | None = None,
    ) -> Completion:
        """The reply to one whole transcript; what is not given comes from the spec."""
        request = CompletionRequest(
            messages=tuple(messages),
            max_tokens=max_tokens or self.spec.max_tokens,
            temperature=self.spec.temperature if temperature is None else temperature,
            seed=seed,
            json_schema=json_schema,
        )
        return self.complete([request])[0]

    def _execute(self, missing: dict[str, CompletionRequest]) -> dict[str, Completion]:
        if not missing:
            return {}
        stop = threading.Event()  # one fault fails the whole call: the others need not go on
        pool = ThreadPoolExecutor(max_workers=min(self.spec.concurrency, len(missing)), thread_name_prefix="llm-client")
        try:
            futures = {key: pool.submit(self._ask, key, request, stop=stop) for key, request in missing.items()}
            wait(futures.values(), return_when=FIRST_EXCEPTION)
            failed = [future for future in futures.values() if future.done() and future.exception() is not None]
            return {key: future.result() for key, future in ({"": failed[0]} if failed else futures).items()}
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self, key: str, request: CompletionRequest, *, stop: threading.Event) -> Completion:
        """One reply, after as many attempts as the spec allows; remembered at once, so that a kill loses little."""
        attempts, last = self.spec.max_retries + 1, "not asked"
        for attempt in range(attempts):
            try:
                completion = self._attempt(request)
            except _TransientFault as fault:
                last = fault.status
                self._count(Usage(faults=1))
                if attempt + 1 < attempts and stop.wait(_pause_s(attempt, fault.retry_after_s)):
                    break
                continue
            self._count(Usage.of(completion))
            if self._store is not None and completion.finish_reason in LASTING:
                self._store.put({key: completion})
            return completion
        raise EndpointError(
            f"the model endpoint {self.endpoint.base_url} did not answer in {attempts} attempts, at last: {last}; see "
            "that it is up, or raise timeout_s or max_retries of this model"
        )

    def _attempt(self, request: CompletionRequest) -> Completion:
        try:
            reply = self._connection().chat.completions.create(**self._arguments(request))
        except openai.APITimeoutError:
            raise _TransientFault(f"timeout after {self.spec.timeout_s:g} s") from None
        except openai.APIConnectionError as error:
            raise _TransientFault(f"no connection ({type(error.__cause__).__name__})") from None
        except openai.APIResponseValidationError as error:
            raise _TransientFault(f"status {error.status_code} with a body that is no chat completion") from None
        except openai.APIStatusError as error:
            return self._refused(error)
        except JSONDecodeError:
            raise _TransientFault("status 200 with a body that is no JSON") from None
        return _completion_of(reply)

    def _arguments(self, request: CompletionRequest) -> dict[str, Any]:
        limit = request.max_tokens
        if self.spec.engine != "endpoint":  # vllm refuses a limit beyond its context, which it could never use
            limit = min(limit, self.spec.max_model_len)
        arguments: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [{"role": role, "content": content} for role, content in request.messages],
            "max_tokens": limit,
            "temperature": request.temperature,
            "seed": request.seed,
        }
        if request.json_schema is not None:
            schema = {"name": "reply", "strict": True, "schema": loads(request.json_schema)}
            arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
        return arguments

    def _refused(self, error: openai.APIStatusError) -> Completion:
        """What a status means. The body may quote the request, so only its code is read. `from None`: the same."""
        status = error.status_code
        is_gone = status == 404 and self.endpoint.app_name is not None  # its model was asked for when it was started
        if status >= 500 or status in TRANSIENT or is_gone:
            raise _TransientFault(f"status {status}", _retry_after_s(error)) from None
        if _is_too_long(error):
            return Completion(text="", finish_reason="length")
        where = f"the model endpoint {self.endpoint.base_url} refused with status {status}"
        if status in CONFIG_FAULTS:
            raise InputError(
                f"{where}: check model {self.endpoint.model!r}, base_url and the key in {self.endpoint.api_key_env}"
            ) from None
        raise RunError(f"{where} (code {error.code or 'none'}): it does not accept this kind of request") from None

    def _connection(self) -> openai.OpenAI:
        with self._lock:
            if self._openai is None:
                self._openai = openai.OpenAI(
                    base_url=self.endpoint.base_url,
                    api_key=os.environ.get(self.endpoint.api_key_env) or "none",
                    timeout=openai.Timeout(self.spec.timeout_s, connect=min(CONNECT_TIMEOUT_S, self.spec.timeout_s)),
                    max_retries=0,  # ours below know which faults pass and how long to wait
                )
            return self._openai

    def _count(self, usage: Usage) -> None:
        with self._lock:
            self._usage += usage


def _remake(endpoint: LLMEndpoint, spec: LLMSpec, store: CompletionStore | None) -> ChatClient:
    return ChatClient(endpoint, spec, store=store)


def _completion_of(reply: object) -> Completion:
    """The first choice of a reply, without the text that a filter left; what was given up is the endpoint's fault."""
    if not isinstance(reply, ChatCompletion) or not reply.choices or reply.choices[0].message is None:
        raise _TransientFault("status 200 with a body that is no chat completion")
    choice, usage = reply.choices[0], reply.usage
    reason: str = choice.finish_reason or "stop"
    if reason in ABANDONED:
        raise _TransientFault(f"status 200 with a reply that ends in {reason!r}")
    return Completion(
        text="" if reason == FILTERED else choice.message.content or "",
        finish_reason=reason,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else 0,
    )


def _is_too_long(error: openai.APIStatusError) -> bool:
    """A prompt beyond the context is this row's matter, as a truncated reply is: it must not fail a whole run."""
    return error.status_code == 400 and (
        error.code == "context_length_exceeded" or "maximum context length" in str(error.body)
    )


def _retry_after_s(error: openai.APIStatusError) -> float | None:
    try:
        return float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None


def _pause_s(attempt: int, retry_after_s: float | None) -> float:
    pause = BACKOFF_S * 2.0**attempt if retry_after_s is None else max(retry_after_s, 0.0)
    return min(pause, MAX_BACKOFF_S)
