"""Whole runs that are scored by what the tuned models answer: trained, asked, compared, and never twice."""

from __future__ import annotations

import json

import pytest

from autodp_ray.result import RunResult
from tests.integration.conftest import MakeSandbox
from tests.integration.scripted_endpoint import is_judge, scripted_endpoint, sensible

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.mark.parametrize("evaluator", ["judge", "reference"])
def test_strategies_are_scored_by_answers(make_sandbox: MakeSandbox, evaluator: str) -> None:
    with scripted_endpoint(sensible) as served:
        sandbox = make_sandbox(
            served.base_url,
            evaluation={"evaluator": evaluator, "max_answer_tokens": 8, "bootstrap_samples": 200},
            training={"lora": {"rank": 2}, "learning_rate": 1e-2, "budget": "steps", "steps": 6, "max_length": 96},
        )
        command = ("run", "config.yaml", "--strategies", "cleaning,generation", "--json")
        done = sandbox.run(*command, "--run-dir", "run")
        assert done.returncode == 0, done.stderr[-3000:]
        num_judged = sum(map(is_judge, served.requests))
        again = sandbox.run(*command, "--run-dir", "again")
        assert again.returncode == 0, again.stderr[-3000:]
        assert sum(map(is_judge, served.requests)) == num_judged, "verdicts are remembered"
    first, second = RunResult.from_json(done.stdout), RunResult.from_json(again.stdout)
    assert first.evaluator == evaluator
    assert first.baseline_score is not None
    assert -1 <= first.baseline_score <= 1
    assert [one.status for each in first.rounds for one in each.strategies] == ["scored", "scored"]
    assert (num_judged > 0) == (evaluator == "judge")
    assert (second.trainings_executed, second.llm_calls_executed) == (0, 0)
    assert second.rounds == first.rounds
    journal = json.dumps(sandbox.events("run"))
    questions = [
        json.loads(line)["instruction"] for line in (sandbox.folder / "data.jsonl").read_text().splitlines()[:5]
    ]
    assert not [question for question in questions if question in journal]
    assert '"answers"' not in journal
