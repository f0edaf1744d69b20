"""A run in which nothing may be reused, on real Ray: what was asked for is done, as often as it was asked for."""

from __future__ import annotations

import json

import pytest

from autodp_ray.result import RunResult
from tests.integration.conftest import MakeSandbox
from tests.integration.scripted_endpoint import scripted_endpoint, sensible

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_without_reuse_a_strategy_of_two_rounds_is_processed_asked_and_trained_twice(make_sandbox: MakeSandbox) -> None:
    with scripted_endpoint(sensible) as endpoint:
        sandbox = make_sandbox(endpoint.base_url, cache={"prefixes": False, "rows": False})
        strategies = "cleaning>optimization;cleaning>optimization"
        done = sandbox.run("run", "config.yaml", "--run-dir", "run", "--strategies", strategies)
    assert done.returncode == 0, done.stderr[-3000:]
    result = RunResult.from_json(json.dumps(sandbox.result("run")))
    assert [each.number for each in result.rounds] == [1, 2]
    assert result.team_runs_executed == result.team_runs_requested == 4
    assert result.trainings_executed == result.trainings_requested
    assert result.llm_calls_executed == result.llm_calls_requested > 0
    scores = [each.strategies[0].score for each in result.rounds]
    assert scores[0] == scores[1]
    assert not list(sandbox.folder.rglob("completions.sqlite"))
