"""What every chat engine has: how its model is asked, and what the rest of the house must know of it.

Knows no engine by name. An engine of ours extends `ServedLLM`, one of others `LLMSpec`; spec.py joins them to a union.
Specs are light: what is heavy is imported inside `build_app`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from operators.contract.errors import InputError

if TYPE_CHECKING:
    from ray import serve

DroppedParam = Literal["temperature", "seed", "max_tokens", "response_format"]
SENT_ALWAYS = frozenset({"model", "messages", "stream", "n"})
QUIET: Mapping[str, bool] = {"enable_access_log": False}
"""How a deployment logs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePackage:
    """A package that an engine needs beside those that every run needs."""

    module: str
    distributions: tuple[str, ...]
    """Those that bring it."""
    install: str


class LLMSpec(BaseModel):
    """One chat model behind an OpenAI-compatible endpoint, whoever serves it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    packages: ClassVar[tuple[EnginePackage, ...]] = ()
    """What the driver and the replicas must have installed."""

    model: str = Field(min_length=1)
    """The model: a hub id, which may end in `@REVISION`, a local folder or `pkg:NAME`; for an endpoint, the name by
    which it knows the model."""
    engine: str
    """Who serves it."""
    temperature: float = Field(default=0.6, ge=0.0, le=2.0)
    """The temperature of the agent's chats. Operators set their own in each request, and a judge takes the likeliest
    token."""
    max_tokens: int = Field(default=1024, ge=1)
    """The longest reply of the agent and of the judge, in tokens."""
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of every request, which override ours: `{chat_template_kwargs: {enable_thinking: false}}` has
    Qwen3 under vllm reply without thinking. They are part of the revision, since they may shape completions."""
    timeout_s: float = Field(default=300.0, gt=0)
    """The longest wait for one reply in seconds, queueing included."""
    retry_for_s: float = Field(default=120.0, ge=0)
    """How long a request is repeated after its first fault: no connection, no reply in time, a server's own error."""
    retry_busy_for_s: float = Field(default=1800.0, ge=0)
    """How long requests are repeated after the endpoint's last reply, while it asks for fewer of them (429, 503)."""
    max_retries: int | None = Field(default=None, ge=0)
    """The most attempts after the first, whatever the time; without it, time alone decides."""
    concurrency: int = Field(default=32, ge=1)
    """How many requests one worker has in flight; `pool.max_llm_workers` workers ask. Replicas are busy when all
    requests together reach `max_batch_size` for each of them."""

    @model_validator(mode="after")
    def _extra_body_repeats_nothing(self) -> LLMSpec:
        if ours := sorted(self.extra_body.keys() & SENT_ALWAYS):
            raise ValueError(f"extra_body {ours} are fields that every request has already: leave them out")
        return self

    def __hash__(self) -> int:
        """By what tells most specs apart: the fields that hold dicts have no hash."""
        return hash((self.model, self.engine, self.outside_url))

    @property
    def outside_url(self) -> str | None:
        """Where the /v1 of an endpoint of others lies; None where we serve the model."""
        return None

    @property
    def is_ours(self) -> bool:
        """Whether we serve the model, on the cluster."""
        return self.outside_url is None

    @property
    def served_name(self) -> str:
        """The model's name in requests."""
        return self.model

    @property
    def context(self) -> int | None:
        """Prompt and reply together, in tokens; None where only the endpoint knows."""
        return None

    @property
    def key_variable(self) -> str:
        """The environment variable that holds the endpoint's key; empty where none is sent."""
        return ""

    @property
    def headers(self) -> Mapping[str, str]:
        """Further headers of every request."""
        return {}

    @property
    def secret_headers(self) -> Mapping[str, str]:
        """Further headers, by the environment variable that holds each."""
        return {}

    @property
    def unsent(self) -> tuple[DroppedParam, ...]:
        """Fields of a request that are left out."""
        return ()

    @property
    def held_cpus(self) -> float:
        """CPUs of the cluster that all its replicas hold at most, their workers included."""
        return 0.0

    @property
    def held_gpus(self) -> float:
        """GPUs of the cluster that all its replicas hold at most, their workers included."""
        return 0.0

    def expected_revision(self) -> str | None:
        """The revision that the endpoint will have, known before it runs; None where it will have none."""
        return None


class ServedLLM(LLMSpec, ABC):
    """A chat model that we serve, as an application on Ray Serve."""

    app_name: str = Field(default="llm", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """The name of the Serve application and of its route prefix."""
    max_batch_size: int = Field(default=16, ge=1)
    """How many replies a replica decodes side by side."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """The number format of the weights. `auto` is bfloat16 on GPUs and on CPUs that multiply it natively, else
    float32."""
    max_model_len: int = Field(default=4096, ge=16)
    """The longest prompt and reply together, in tokens."""
    num_cpus: float = Field(default=1.0, ge=0.0)
    """How many CPUs a replica reserves."""
    start_timeout_s: float = Field(default=900.0, gt=0)
    """The longest wait in seconds until an application that a run starts is ready."""
    min_replicas: int = Field(default=1, ge=0)
    """How many replicas stay when there are no requests; with 0, the next request waits for one to start."""
    max_replicas: int = Field(default=1, ge=1)
    """The most replicas; a run keeps room for all of them."""

    @model_validator(mode="after")
    def _replicas_are_ordered(self) -> ServedLLM:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        return self

    __hash__ = LLMSpec.__hash__

    @property
    def context(self) -> int | None:
        """The longest prompt and reply together, in tokens."""
        return self.max_model_len

    @property
    @abstractmethod
    def resolved_dtype(self) -> str:
        """The dtype that is meant, as the machine that asks sees it."""

    @property
    def num_stages(self) -> int:
        """Parts of a replica, each of which stands on one node whole."""
        return 1

    @property
    def cpus_per_replica(self) -> float:
        """What a replica holds, its workers included."""
        return self.num_cpus

    @property
    def gpus_per_replica(self) -> float:
        """What a replica holds, its workers included."""
        return 0.0

    @property
    def held_cpus(self) -> float:
        """Of all replicas that there may be."""
        return self.max_replicas * self.cpus_per_replica

    @property
    def held_gpus(self) -> float:
        """Of all replicas that there may be."""
        return self.max_replicas * self.gpus_per_replica

    @property
    def autoscaling(self) -> dict[str, object]:
        """Serve's own setting of how many replicas there are."""
        return {
            "min_replicas": self.min_replicas,
            "max_replicas": self.max_replicas,
            "target_ongoing_requests": 2 * self.max_batch_size,
        }

    def served_revision(self, weights: str) -> str:
        """Identifies what shapes a completion: weights, engine, precision and the context that cuts or refuses it."""
        return "+".join([weights, self.engine, self.resolved_dtype, str(self.max_model_len)])

    def declared_revision(self, of_card: str | None) -> str | None:
        """The revision of an application that runs, of what its model card tells."""
        return of_card

    def require_source(self, *, spans_machines: bool) -> None:
        """Looks for the model where the driver's machine will serve it: a source that cannot be had is told at once.

        Raises: InputError where it cannot be had.
        """

    def build_app(self) -> serve.Application:
        """The application, nothing of it running yet.

        Raises: InputError where the engine is not installed.
        """
        raise InputError(f"engine {self.engine!r} builds no application")
