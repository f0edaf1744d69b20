"""A replica of the CPU engine on Ray Serve: one loaded model behind the chat API."""

from __future__ import annotations

import os
from typing import Any, Protocol

from fastapi import FastAPI
from ray import serve

from actors.models.source import resolve_model
from actors.serve.app import listen_on_loopback


class ReplicaSpec(Protocol):
    """What a replica must know of its model; plain settings that pickle."""

    @property
    def model(self) -> str: ...

    @property
    def max_batch_size(self) -> int: ...

    @property
    def max_model_len(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...

    @property
    def batch_wait_s(self) -> float: ...

    @property
    def threads(self) -> int: ...

    @property
    def resolved_dtype(self) -> str:
        """As the machine of the replica sees it."""

    def served_revision(self, weights: str) -> str: ...


class LLMServer:
    """A replica: one engine behind the chat API."""

    def __init__(self, spec: ReplicaSpec) -> None:
        listen_on_loopback()
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads: spinning threads starve neighbours
        from actors.cpu_engine.engine import TransformersEngine
        from actors.cpu_engine.service import ChatService

        resolved = resolve_model(spec.model)
        engine = TransformersEngine(
            resolved.path,
            dtype=spec.resolved_dtype,
            max_batch_size=spec.max_batch_size,
            max_model_len=spec.max_model_len,
            num_threads=spec.threads,
        )
        self._service = ChatService(
            engine,
            model=spec.model,
            revision=spec.served_revision(resolved.revision),
            batch_wait_s=spec.batch_wait_s,
            default_max_tokens=spec.max_tokens,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application of this replica."""
        from actors.cpu_engine.service import add_routes

        app = FastAPI()
        add_routes(app, self._service)
        return app

    def check_health(self) -> None:
        """Called by Serve; a replica that raises is replaced."""
        self._service.check_health()


def replica_app(spec: ReplicaSpec, **options: Any) -> serve.Application:  # noqa: ANN401
    """The application of replicas of `spec`; `options` are Serve's, of their deployment."""
    deployment: serve.Deployment = serve.deployment(
        name="LLMServer", graceful_shutdown_timeout_s=2.0, max_constructor_retry_count=1, **options
    )(serve.ingress()(LLMServer))
    return deployment.bind(spec)
