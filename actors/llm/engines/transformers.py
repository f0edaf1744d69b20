"""The engine of this project, for CPUs and tests: any transformers model, decoded by `actors.cpu_engine`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from actors.llm.engines.base import QUIET, ServedLLM
from actors.models.cpu_features import multiplies_bf16
from actors.models.source import resolve_model

if TYPE_CHECKING:
    from ray import serve

QUEUE_FACTOR = 8
"""A replica accepts this many times its batch size, so that the next batch waits at the model and not at the proxy."""

ENGINE_VERSION = 2
"""Bumped when equal requests get other replies."""


class TransformersLLM(ServedLLM):
    """A chat model that this project's own engine serves on CPUs."""

    engine: Literal["transformers"] = "transformers"
    """This project's own engine on Ray Serve. It is taken where no engine is named."""
    batch_wait_s: float = Field(default=0.02, ge=0.0, le=5.0)
    """How long an idle server waits for a batch to fill, in seconds."""
    num_threads: int | None = Field(default=None, ge=1)
    """How many threads a replica uses; null is `num_cpus`, at least one."""

    @model_validator(mode="before")
    @classmethod
    def _has_no_gpu(cls, values: object) -> object:
        """GPUs mean vllm, whose batches they are made for; `num_gpus: 0` says what is so anyway."""
        if not isinstance(values, Mapping) or "num_gpus" not in values:
            return values
        if values["num_gpus"] != 0:
            raise ValueError("engine 'transformers' is for CPUs: for num_gpus above 0 use engine 'vllm'")
        return {name: value for name, value in values.items() if name != "num_gpus"}

    @property
    def resolved_dtype(self) -> str:
        """The dtype that is meant, as the machine that asks sees it."""
        if self.dtype != "auto":
            return self.dtype
        return "bfloat16" if multiplies_bf16() else "float32"

    @property
    def threads(self) -> int:
        """Threads of a replica."""
        return self.num_threads or max(1, int(self.num_cpus))

    def expected_revision(self) -> str | None:
        """As its replicas declare it: the weights must be had to know it."""
        return self.served_revision(resolve_model(self.model).revision)

    def served_revision(self, weights: str) -> str:
        """With the version of our own code."""
        return super().served_revision(f"{weights}+{ENGINE_VERSION}")

    def require_source(self, *, spans_machines: bool) -> None:
        """Only on one machine, else the head would load weights that others serve."""
        if not spans_machines:
            resolve_model(self.model)

    def build_app(self) -> serve.Application:
        """One deployment of our own."""
        from actors.cpu_engine.replica import replica_app

        return replica_app(
            self,
            max_ongoing_requests=QUEUE_FACTOR * self.max_batch_size,
            autoscaling_config=self.autoscaling,
            logging_config=QUIET,
            ray_actor_options={"num_cpus": self.num_cpus},
        )
