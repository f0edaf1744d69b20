"""Chats with any OpenAI-compatible endpoint: concurrent, with bounded retries, and never the same question twice.

Implements `operators.base.Completer`. Error messages name the endpoint and its status, never the text of a request or a
reply. Knows no Ray; may be pickled, each process connects for itself.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from json import JSONDecodeError, loads
from typing import Any, TypeVar

import openai

from actors.completion_store import CompletionStore, completion_key
from actors.llm_spec import LLMEndpoint, LLMSpec
from actors.llm_usage import Usage
from operators.base import Completion, CompletionRequest
from operators.errors import EndpointError, InputError, RunError

BACKOFF_S = 0.5
MAX_BACKOFF_S = 20.0
CONNECT_TIMEOUT_S = 10.0
CONFIG_FAULTS = frozenset({401, 403, 404})
"""Statuses that only another config can mend."""
TRANSIENT = frozenset({408, 409, 425, 429})


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
        """Identifies the model's weights, engine and precision; empty where the endpoint declares none."""
        return self.endpoint.revision or ""

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
        keys = [completion_key(request, revision=f"{self.endpoint.model}@{self.revision}") for request in requests]
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
        pool = ThreadPoolExecutor(max_workers=min(self.spec.concurrency, len(missing)), thread_name_prefix="llm-client")
        try:
            return dict(zip(missing, pool.map(self._ask_and_keep, missing.items()), strict=True))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _ask_and_keep(self, item: tuple[str, CompletionRequest]) -> Completion:
        key, request = item
        completion = self._ask(request)
        if self._store is not None:
            self._store.put({key: completion})
        return completion

    def _ask(self, request: CompletionRequest) -> Completion:
        last = ""
        for attempt in range(self.spec.max_retries + 1):
            try:
                completion = self._attempt(request)
            except _TransientFault as fault:
                last = fault.status
                self._count(Usage(faults=1))
                if attempt < self.spec.max_retries:
                    time.sleep(_pause_s(attempt, fault.retry_after_s))
                continue
            tokens = {"prompt_tokens": completion.prompt_tokens, "completion_tokens": completion.completion_tokens}
            self._count(Usage(calls_executed=1, **tokens))
            return completion
        raise EndpointError(
            f"the endpoint {self.endpoint.base_url} failed {self.spec.max_retries + 1} times, at last: {last}; see that "
            "it is up, or raise timeout_s or max_retries of the model"
        )
