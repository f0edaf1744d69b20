"""Chats with any OpenAI-compatible endpoint: concurrent, patient, and never the same question twice.

Implements the contract's `Completer`. Error messages name the endpoint and its status, never the text of a request or a
reply. Knows no Ray; may be pickled, each process connects for itself.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from typing import Any

from actors.cluster.metrics import CHAT_CALLS, CHAT_LATENCY, CHAT_TOKENS, CHAT_WAITING
from actors.llm.completion_store import CompletionStore, completion_key
from actors.llm.credentials import request_headers
from actors.llm.endpoint_state import EndpointState, endpoint_state
from actors.llm.engines.base import LLMSpec
from actors.llm.refusal import Meaning, Refusal
from actors.llm.refused_error import refused_error
from actors.llm.reply_body import FILTERED, LENGTH, STOP, NoCompletionError, completion_of, read_json, refusal_inside
from actors.llm.request_form import RequestForm
from actors.llm.spec import LLMEndpoint, asked_revision, named_revision, request_label
from actors.llm.usage import Usage
from actors.web.exchange import Exchange, HttpReply, HttpRequest, NoReplyError, exchange
from actors.web.hosts import public_url, with_path
from actors.web.retry import (
    BUSY,
    GaveUpError,
    PassingFaultError,
    Retries,
    RetryLimits,
    StoppedError,
    is_passing,
    passing_fault,
)
from actors.web.throttle import Throttle
from operators.contract.errors import EndpointError
from operators.contract.resources import Completion, CompletionRequest

MAX_FORMS = 12
"""How many forms one request is tried in."""
LASTING = frozenset({STOP, LENGTH})
"""Ends of replies that are remembered: others say nothing that has to hold for the next time."""


class ChatClient:
    """Completes chats at one endpoint."""

    def __init__(
        self,
        endpoint: LLMEndpoint,
        spec: LLMSpec,
        *,
        role: str = "",
        store: CompletionStore | None = None,
        send: Exchange = exchange,
        throttle: Throttle | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.spec = spec
        self._role = role  # what metrics are told by
        self._store = store
        self._send = send
        self._throttle = throttle
        self._usage = Usage()
        self._num_waiting = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return (_remake, (self.endpoint, self.spec, self._role, self._store, self._state.form))

    @property
    def revision(self) -> str:
        """Identifies the model and what shapes its replies; empty where the endpoint declares no revision."""
        return asked_revision(self.spec, model=self.endpoint.model, revision=self.endpoint.revision, form=self.form)

    @property
    def form(self) -> RequestForm:
        """How the endpoint is asked, by what this process knows of it."""
        return self._state.form

    def usage(self) -> Usage:
        """What was asked of this client so far; subtract two snapshots for what happened in between."""
        with self._lock:
            return self._usage

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """One reply per request, in order; equal requests and remembered ones are not executed again.

        A request whose text the endpoint filters, or that is too long for it, has an empty reply that ends `filtered`
        or `length`: that is this row's matter and no fault.

        Raises:
            EndpointError: the endpoint timed out, refused or failed in every attempt.
            EndpointConfigError: it does not know the key or the model, or is not paid.
        """
        keys = [self._key(request, self.form) for request in requests]
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

    @property
    def _state(self) -> EndpointState:
        return endpoint_state(
            self.endpoint.base_url,
            self.endpoint.model,
            first=RequestForm.without(self.spec.unsent),
            settings=json.dumps(self.spec.extra_body, sort_keys=True),
        )

    def _key(self, request: CompletionRequest, form: RequestForm) -> str:
        """Of a completion in a store: a run's own store may serve several undeclared models."""
        undeclared = f"{self.endpoint.model} at {self.endpoint.base_url}"
        named = named_revision(self.endpoint.model, self.endpoint.revision) or undeclared
        return completion_key(request, revision="+".join(filter(None, [named, request_label(self.spec, form=form)])))

    def _execute(self, missing: dict[str, CompletionRequest]) -> dict[str, Completion]:
        if not missing:
            return {}
        self._wait_for(len(missing))
        stop = threading.Event()  # one fault fails the whole call: the others need not go on
        pool = ThreadPoolExecutor(max_workers=min(self.spec.concurrency, len(missing)), thread_name_prefix="llm-client")
        try:
            futures = {key: pool.submit(self._ask, request, stop=stop) for key, request in missing.items()}
            wait(futures.values(), return_when=FIRST_EXCEPTION)
            failed = [future for future in futures.values() if future.done() and future.exception() is not None]
            return {key: future.result() for key, future in ({"": failed[0]} if failed else futures).items()}
        finally:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self._wait_for(-len(missing))

    def _ask(self, request: CompletionRequest, *, stop: threading.Event) -> Completion:
        """One reply, after as many attempts as the spec's patience allows; remembered at once, so that a kill loses
        little."""
        spec, state = self.spec, self._state
        retries = Retries(
            name=f"the model endpoint {public_url(self.endpoint.base_url)}",
            patience=RetryLimits(fault_s=spec.retry_for_s, busy_s=spec.retry_busy_for_s, max_retries=spec.max_retries),
            throttle=self._throttle or state.throttle,
        )
        try:
            completion, form = retries.run(
                lambda: self._attempt(request, state), stop=stop, on_fault=lambda: self._count(Usage(faults=1))
            )
        except GaveUpError as error:
            raise EndpointError(
                f"{retries.name} {error}; see that it is up, or raise timeout_s, retry_for_s, retry_busy_for_s or "
                "max_retries of this model"
            ) from None
        except StoppedError:
            raise EndpointError(f"{retries.name} was not asked again, since another request failed") from None
        self._count(Usage.of(completion))
        if self._store is not None and completion.finish_reason in LASTING:
            self._store.put({self._key(request, form): completion})
        return completion

    def _attempt(self, request: CompletionRequest, state: EndpointState) -> tuple[Completion, RequestForm]:
        """One reply, in the form that the endpoint takes, which may be found out here."""
        with state.finding(with_schema=request.json_schema is not None):
            began = form = state.form
            for _ in range(MAX_FORMS):
                body = form.body(self._cut(request), model=self.endpoint.model, extra=self.spec.extra_body)
                outcome = self._read(self._exchange(body), request)
                if isinstance(outcome, Completion):
                    state.learn(form, began=began)
                    return outcome, form
                further = form.after(outcome, sent=body, extra=self.spec.extra_body)
                if further is None or not outcome.is_about_form:
                    break
                form = further
        assert isinstance(outcome, Refusal)
        raise refused_error(outcome, endpoint=self.endpoint, sent=body)

    def _exchange(self, body: dict[str, Any]) -> HttpReply:
        is_own = self.endpoint.app_name is not None
        request = HttpRequest(
            url=with_path(self.endpoint.base_url, "chat/completions"),
            timeout_s=self.spec.timeout_s,
            headers=request_headers(self.endpoint, self.spec),
            body=json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace"),
            is_near=True if is_own or self.endpoint.in_cluster else None,
        )
        began = time.monotonic()
        try:
            reply = self._send(request)
        except NoReplyError as error:
            raise PassingFaultError(str(error)) from None
        CHAT_LATENCY.observe(time.monotonic() - began, self._role)
        return reply

    def _read(self, reply: HttpReply, request: CompletionRequest) -> Completion | Refusal:
        """A completion, or a refusal that another form or nothing mends. The body may quote the request, so errors show
        nothing of it; `from None`: the same."""
        if 200 <= reply.status < 300:
            return self._read_body(reply, request)
        refusal = Refusal.of(reply.status, reply.body)
        is_gone = reply.status == 404 and self.endpoint.app_name is not None  # it was there when it was started
        if (is_passing(reply.status) or is_gone) and not refusal.is_certain():
            raise passing_fault(reply, throttle=self._throttle or self._state.throttle)
        return _row_s_matter(refusal) or refusal

    def _read_body(self, reply: HttpReply, request: CompletionRequest) -> Completion | Refusal:
        try:
            said = read_json(reply.body)
            if (inside := refusal_inside(said)) is None:
                return completion_of(said, max_tokens=request.max_tokens)
        except NoCompletionError as error:
            raise PassingFaultError(f"status {reply.status} with {error}") from None
        refusal = Refusal.inside(inside)
        if is_passing(refusal.status) and not refusal.is_certain():
            fault = passing_fault(reply, throttle=self._throttle or self._state.throttle)
            raise PassingFaultError(
                f"status 200 with an error of status {refusal.status} in its body",
                is_busy=refusal.status in BUSY,
                wait_s=fault.wait_s,
            )
        return _row_s_matter(refusal) or refusal

    def _cut(self, request: CompletionRequest) -> CompletionRequest:
        """vllm refuses a limit beyond its context, which it could never use."""
        limit = self.spec.context
        if limit is None or request.max_tokens <= limit:
            return request
        return replace(request, max_tokens=limit)

    def _count(self, usage: Usage) -> None:
        with self._lock:
            self._usage += usage
        CHAT_CALLS.add(usage.calls_requested, self._role, "requested")
        CHAT_CALLS.add(usage.calls_executed, self._role, "executed")
        CHAT_CALLS.add(usage.faults, self._role, "faults")
        CHAT_TOKENS.add(usage.prompt_tokens, self._role, "prompt")
        CHAT_TOKENS.add(usage.completion_tokens, self._role, "completion")

    def _wait_for(self, num_more: int) -> None:
        with self._lock:
            self._num_waiting += num_more
            CHAT_WAITING.set(self._num_waiting, self._role)


def _remake(
    endpoint: LLMEndpoint, spec: LLMSpec, role: str, store: CompletionStore | None, form: RequestForm
) -> ChatClient:
    client = ChatClient(endpoint, spec, role=role, store=store)
    client._state.know(form)
    return client


def _row_s_matter(refusal: Refusal) -> Completion | None:
    """The empty reply that a request has which is filtered or too long: it must not fail a whole run."""
    ends = {Meaning.FILTERED: FILTERED, Meaning.TOO_LONG: LENGTH}
    reason = ends.get(refusal.meaning())
    return None if reason is None else Completion(text="", finish_reason=reason)
