"""What Ray Serve adds to a chat engine's own time: the same chats by the engine alone, and by its replica, in turns.

Both have the same weights, batch and limits in one run, on one thread each. Counted is processor time. Behind Serve it
is that of everything that a request passes (client, proxy, replica) and of what runs beside it for Serve's and Ray's
sake (controller, actors); GCS and raylet, which every Ray has, are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ray

from actors.llm.client import ChatClient
from actors.llm.engines.base import ServedLLM
from actors.llm.server import start_llm, stop_llm
from benchmarks.protocol import Figures
from benchmarks.repeated import spread
from benchmarks.worker_watch import ClusterWatch, watched_cluster
from operators.contract.resources import CompletionRequest

NUM_RUNS = 3
TEMPERATURE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One batch of chats, answered by the one or the other."""

    cpu_s: float
    num_tokens: int
    """Those that were generated."""
    texts: tuple[str, ...]

    @property
    def cpu_ms_per_token(self) -> float:
        """For each token that was generated."""
        return 1e3 * self.cpu_s / self.num_tokens


TurnFn = Callable[[int], Turn]
"""Answers the chats with a seed."""


def serve_overhead(spec: ServedLLM, alone: TurnFn, *, prompts: Sequence[str], num_tokens: int) -> Figures:
    """The figures of the engine alone and of what `spec` starts on a Ray of its own."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    endpoint = start_llm(spec)
    turns: list[tuple[Turn, Turn]] = []
    try:
        client = ChatClient(endpoint, spec)
        with watched_cluster() as watch:
            for seed in range(NUM_RUNS + 1):
                turns.append((alone(seed), _served(client, watch, prompts, num_tokens, seed)))
    finally:
        stop_llm(endpoint)
        ray.shutdown()
    turns = turns[1:]  # the first warmed both up
    return {
        "chats": len(prompts),
        "max_tokens": num_tokens,
        "engine_cpu_ms_per_token": spread([own.cpu_ms_per_token for own, _ in turns]),
        "served_cpu_ms_per_token": spread([other.cpu_ms_per_token for _, other in turns]),
        "served_over_engine": spread([other.cpu_ms_per_token / own.cpu_ms_per_token for own, other in turns]),
        "equal_replies_frac": sum(own.texts == other.texts for own, other in turns) / len(turns),
    }


def _served(client: ChatClient, watch: ClusterWatch, prompts: Sequence[str], num_tokens: int, seed: int) -> Turn:
    requests = [
        CompletionRequest(messages=(("user", prompt),), max_tokens=num_tokens, seed=seed, temperature=TEMPERATURE)
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
