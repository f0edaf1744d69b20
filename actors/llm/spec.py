"""What a chat model is and how it is served and called: one frozen spec, each knob once.

Knows nothing of Ray, Serve or HTTP; server.py builds an application from it and client.py calls one by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from actors.models.cpu_features import multiplies_bf16

Engine = Literal["transformers", "vllm", "endpoint"]


class LLMSpec(BaseModel):
    """One chat model behind an OpenAI-compatible endpoint: served by us (`transformers`, `vllm`) or by others."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    model: str = Field(min_length=1)
    """Hub id (with optional @revision), local folder or pkg:NAME; for an endpoint, the model name it knows."""
    engine: Engine = "transformers"
    """Who serves it: `transformers` and `vllm` on Ray Serve, or an `endpoint` that is there already."""
    app_name: str = Field(default="llm", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Serve application and route prefix."""

    base_url: str | None = None
    """Endpoint only: where its /v1 lies."""
    api_key_env: str = "OPENAI_API_KEY"
    """Endpoint only: the environment variable that holds the key; the key itself stands in no config."""
    revision: str | None = None
    """Endpoint only: the declared revision of its weights; without one, its completions are not kept beyond a run."""

    temperature: float = Field(default=0.6, ge=0.0, le=2.0)
    """For chats of the agent and the judge; operators set their own in each request."""
    max_tokens: int = Field(default=1024, ge=1)
    """Reply limit of such chats, in tokens."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Longest wait for one reply, queueing included."""
    max_retries: int = Field(default=4, ge=0, le=20)
    """Attempts after the first, where a fault may pass."""
    concurrency: int = Field(default=32, ge=1)
    """Requests in flight per client; at least max_batch_size keeps the server's batches full."""

    max_batch_size: int = Field(default=16, ge=1)
    """Replies that a replica decodes side by side."""
    batch_wait_s: float = Field(default=0.02, ge=0.0, le=5.0)
    """How long an idle server waits for a batch to fill."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is bfloat16 on GPUs and on CPUs that multiply it natively, else float32."""
    max_model_len: int = Field(default=4096, ge=16)
    """Prompt and reply together, in tokens."""
    num_cpus: float = Field(default=1.0, ge=0.0)
    """What a replica reserves."""
    num_threads: int | None = Field(default=None, ge=1)
    """Threads of the transformers engine on a CPU; by default num_cpus, at least one."""
    start_timeout_s: float = Field(default=900.0, gt=0)
    """Longest wait for an application that we start to be ready."""
    num_gpus: float = Field(default=0.0, ge=0.0)
    """Per replica, transformers engine; vllm takes tensor_parallel GPUs."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that the weights of one vllm replica are split over."""
    min_replicas: int = Field(default=1, ge=0)
    """Replicas that stay when nobody asks; from 0, the next request waits for one to start."""
    max_replicas: int = Field(default=1, ge=1)
    """Replicas at most; a run keeps room for all of them."""

    @model_validator(mode="after")
    def _is_consistent(self) -> LLMSpec:
        if self.engine == "endpoint" and self.base_url is None:
            raise ValueError("engine 'endpoint' needs base_url, e.g. http://127.0.0.1:8000/v1")
        if self.engine != "endpoint" and (self.base_url is not None or self.revision is not None):
            raise ValueError(f"base_url and revision belong to engine 'endpoint', not to {self.engine!r}")
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        if self.engine == "transformers" and self.tensor_parallel > 1:
            raise ValueError("the transformers engine has no tensor parallelism: use engine 'vllm'")
        return self

    @property
    def resolved_dtype(self) -> str:
        """The dtype that is meant, as the machine that asks sees it."""
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if self.engine == "vllm" or self.num_gpus > 0 or multiplies_bf16() else "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMEndpoint:
    """Where a chat model answers; what a client needs to reach it."""

    base_url: str
    model: str
    revision: str | None
    """Identifies weights, engine and precision; None where the endpoint declares nothing."""
    api_key_env: str = "OPENAI_API_KEY"
    app_name: str | None = None
    """The Serve application, None for an endpoint of others."""
    is_own: bool = False
    """Whether this run started the application, and may delete it."""
