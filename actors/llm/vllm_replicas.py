"""The replicas of ray.serve.llm, on loopback where this Ray is. Needs vllm; loaded by name when an app is built."""

from __future__ import annotations

from typing import Self

from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.ingress import OpenAiIngress

from actors.serve.app import listen_on_loopback


class _OnLoopback:
    """Binds the replica before anything of it is started; their constructors are asynchronous, this is not."""

    def __new__(cls, *_: object, **__: object) -> Self:
        listen_on_loopback()
        return super().__new__(cls)


class VLLMServer(_OnLoopback, LLMServer):
    """One engine."""


class VLLMIngress(_OnLoopback, OpenAiIngress):
    """What speaks OpenAI's API before the engines."""
