"""What Ray Serve adds to the processor time of vllm on CPUs. Needs the environment that `make test-vllm` makes.

The engine alone is vllm's own class for chats without a server, with its processes for scheduling and for the model.
Behind Serve it is what `ray.serve.llm` starts, which has as many. Either model runs on one thread.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "0")  # the one core that a model runs on
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

from actors.llm.engines.vllm import VllmLLM
from actors.models.source import resolve_model
from benchmarks.protocol import Figures
from benchmarks.serve_overhead import TEMPERATURE, Turn, serve_overhead
from benchmarks.serving import BATCH, MAX_TOKENS, PACKAGE, SMOKE_TOKENS
from benchmarks.text_rows import composed_rows
from benchmarks.worker_watch import NodeWatch

SPEC = VllmLLM(
    model=f"pkg:{PACKAGE}",
    app_name="serving-vllm",
    dtype="float32",
    max_batch_size=BATCH,
    max_model_len=512,
    concurrency=BATCH,
    num_cpus=0.5,
    bundle_per_worker={"CPU": 1.0},
    engine_kwargs={"enforce_eager": True},
)
PROCESSES = "VLLM::"
"""How those of the engine are titled."""


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Figures for `rows` chats at a time, by default a batch of 32."""
    from vllm import LLM, SamplingParams  # no part of the environment that the other benchmarks run in

    num_tokens = SMOKE_TOKENS if smoke else MAX_TOKENS
    prompts = composed_rows(rows or BATCH)["question"].to_pylist()
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    engine = LLM(
        model=resolve_model(SPEC.model).path,
        dtype=SPEC.resolved_dtype,
        max_num_seqs=BATCH,
        max_model_len=SPEC.max_model_len,
        **SPEC.engine_kwargs,
    )
    processes = NodeWatch(parent=os.getpid(), title=PROCESSES)

    def alone(seed: int) -> Turn:
        limits = SamplingParams(max_tokens=num_tokens, seed=seed, temperature=TEMPERATURE)
        processes.start()
        began = time.process_time()
        replies = [found.outputs[0] for found in engine.chat(chats, limits, use_tqdm=False)]
        return Turn(
            cpu_s=time.process_time() - began + processes.usage().cpu_s,
            num_tokens=sum(len(reply.token_ids) for reply in replies),
            texts=tuple(reply.text for reply in replies),
        )

    return serve_overhead(SPEC, alone, prompts=prompts, num_tokens=num_tokens)
