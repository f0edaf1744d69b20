"""llama.cpp's server on one thread: processor time for each token of chats that are asked all at once.

    python -m benchmarks.peer_scripts.llama_cpp_server IN.json OUT.json

Counted is that of the server and of the client that asks it over HTTP, both in this process.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xllamacpp

TIMEOUT_S = 600.0


def main() -> None:
    """Answers the chats of IN.json once to warm up and then in every run."""
    given, answer = map(Path, sys.argv[1:])
    settings = json.loads(given.read_text(encoding="utf-8"))
    prompts = settings["prompts"]
    server = xllamacpp.Server(_params(settings))

    def ask(prompt: str, seed: int) -> int:
        body = {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": settings["max_tokens"],
            "temperature": settings["temperature"],
            "seed": seed,
        }
        request = urllib.request.Request(
            f"{server.listening_address}/v1/chat/completions",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            return int(json.load(reply)["usage"]["completion_tokens"])

    found: list[float] = []
    with ThreadPoolExecutor(len(prompts)) as asking:
        for seed in range(settings["runs"] + 1):
            began = time.process_time()
            num_tokens = sum(asking.map(ask, prompts, [seed] * len(prompts)))
            found.append(1e3 * (time.process_time() - began) / num_tokens)
    answer.write_text(json.dumps({"cpu_ms_per_token": found[1:]}), encoding="utf-8")


def _params(settings: Mapping[str, Any]) -> xllamacpp.CommonParams:
    params = xllamacpp.CommonParams()
    params.model.path = settings["file"]
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel = params.n_threads_http = len(settings["prompts"])
    params.n_ctx = params.n_parallel * settings["max_model_len"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    return params


if __name__ == "__main__":
    main()
