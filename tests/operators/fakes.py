"""Scripted stand-ins for what a worker lends to operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from operators.base import Completion, CompletionRequest


class FakeTokenizer:
    """Counts words as tokens."""

    revision = "fake-words"

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class FakeCompleter:
    """Answers each request by a function and remembers what it was asked."""

    revision = "fake-completer"

    def __init__(self, reply: Callable[[CompletionRequest], Completion | str]) -> None:
        self._reply = reply
        self.requests: list[CompletionRequest] = []

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        self.requests.extend(requests)
        replies = [self._reply(request) for request in requests]
        return [Completion(text=reply) if isinstance(reply, str) else reply for reply in replies]
