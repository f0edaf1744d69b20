"""How many workers apply operators, and on what kind of process. Loads no Ray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from operators.contract.operator import Needs

WorkerKind = Literal["tasks", "pool", "kept"]
"""Ray's tasks, a pool of actors for one pass, or a process that lives on (kept_worker.py)."""


WANTED_PARTS = 64
"""Of a dataset whose parts may be of more rows than `part_rows`: enough for some dozens of workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSize:
    """A part ends with so many rows once it has the least bytes, and in any case at the most."""

    rows: int
    least_bytes: int
    most_bytes: int


class PoolConfig(BaseModel):
    """How many workers apply operators, and when a pool of actors pays.

    An actor pool costs seconds to start: only work with models runs on one, if there are many parts; the rest runs as
    tasks. Where Ray has one machine, rows that would fit in one part go to a process that lives on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    num_cpus_per_worker: float = Field(default=0.5, ge=0)
    """How many CPUs a worker reserves."""
    num_gpus_per_gradient_worker: float = Field(default=0.0, ge=0)
    """How many GPUs a worker reserves that computes gradients for `select_by_gradient`, or their warm-up. They come on
    top of what trainings and chat models hold; 0 computes on CPUs."""
    max_workers: int | None = Field(default=None, ge=1)
    """How many workers pass over a dataset at one time; null is as many as the cluster has room for."""
    max_llm_workers: int = Field(default=2, ge=1)
    """How many of the workers ask the chat model; each has up to `concurrency` requests in flight. With two, one asks
    while the other waits for its part's last replies; many more only queue at the model until they time out."""
    max_gradient_workers: int | None = Field(default=None, ge=1)
    """How many of the workers compute gradients. On GPUs: as many as trainings and chat models leave free, since a chat
    model that returns from zero replicas must find its own."""
    actor_pool_min_parts: int = Field(default=32, ge=1)
    """Work with models runs on actors from this number of parts on; on GPUs it always does."""
    part_rows: int = Field(default=2048, ge=1)
    """How many rows a part has, which is what a worker holds in memory at one time. Work without models on a large
    dataset takes parts of more rows, up to `part_bytes`."""
    part_bytes: int = Field(default=32 << 20, ge=1)
    """The largest size of a part in bytes, whatever its rows."""
    file_bytes: int = Field(default=256 << 20, ge=1)
    """How many bytes of parts go into one file of an output folder; a smaller output is one file."""

    def part_size(self, num_bytes: int, *, for_models: bool) -> PartSize:
        """How the parts of a dataset of so many bytes are cut. Work with models has parts of few rows, so that many
        workers share it and little is lost with one; other work on a large dataset has fewer and larger ones."""
        share = 0 if for_models else num_bytes // WANTED_PARTS
        return PartSize(rows=self.part_rows, least_bytes=min(share, self.part_bytes), most_bytes=self.part_bytes)

    def workers(self, needs: Sequence[Needs], *, num_parts: int, num_rows: int) -> Workers:
        """What work with these needs runs on.

        A pool keeps what it loads from part to part. On GPUs few parts get one too: Ray ends the process of a GPU task
        with the task. Rows that would fit in one part go to a process that keeps it from pass to pass, unless an
        operator asks for more than a worker's CPUs: that process reserves nothing. Where Ray may have other machines,
        "kept" is done by tasks.
        """
        asks, differentiates = any(each.completer for each in needs), any(each.influence for each in needs)
        limits = (
            self.max_workers,
            self.max_llm_workers if asks else None,
            self.max_gradient_workers if differentiates else None,
        )
        num_cpus, num_gpus = self.hardware(needs)
        has_models = any(each.models for each in needs)
        if num_gpus > 0:
            kind: WorkerKind = "pool"
        elif num_rows <= self.part_rows and num_cpus <= self.num_cpus_per_worker:
            kind = "kept"
        else:
            kind = "pool" if has_models and num_parts >= self.actor_pool_min_parts else "tasks"
        limit = min((limit for limit in limits if limit is not None), default=None)
        return Workers(num_cpus=num_cpus, num_gpus=num_gpus, max_workers=limit, kind=kind)

    def hardware(self, needs: Sequence[Needs]) -> tuple[float, float]:
        """CPUs and GPUs of a worker for operators with these needs: the most that one of them asks for."""
        gradients = self.num_gpus_per_gradient_worker if any(each.influence for each in needs) else 0.0
        return (
            max([self.num_cpus_per_worker, *(each.cpus for each in needs)]),
            max([gradients, *(each.gpus for each in needs)]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The workers of one pass over a dataset."""

    num_cpus: float
    """Of each, as `num_gpus`."""
    num_gpus: float
    max_workers: int | None
    kind: WorkerKind
