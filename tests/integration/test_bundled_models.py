"""The embedded default with its real models, made small: chat model on Serve, damage, all four teams."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import yaml

from autodp_ray.result import RunResult
from tests.integration.conftest import Sandbox
from tests.integration.watching import Watched, kill_when, watch

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

SMALLER: dict[str, dict[str, object]] = {
    "dataset": {"limit": 160},
    "splits": {"guide": 8, "validation": 16, "test": 16},
    "search": {"num_strategies": 2, "max_rounds": 2},
    "training": {"steps": 4},
}


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    settings = yaml.safe_load((Path(__file__).parents[2] / "configs" / "quickstart.yaml").read_text())
    for section, values in SMALLER.items():
        settings[section] = settings.get(section, {}) | values
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return Sandbox(folder=tmp_path, config=config)


def test_a_run_killed_in_a_round_repeats_nothing_and_listens_on_loopback_only(sandbox: Sandbox) -> None:
    kill_when(sandbox, "run", "team_run", 1, timeout_s=600)
    before = {(event["name"], event["key"]) for event in sandbox.events("run")}
    seen = Watched()
    watch(sandbox, "run", "--resume", "run", seen=seen)
    seen.assert_on_loopback_only()
    seen.assert_gone()
    events = Counter((event["name"], event["key"]) for event in sandbox.events("run"))
    assert max(events.values()) == 1, "a finished step was repeated"
    assert before <= set(events)
    result = RunResult.from_json(json.dumps(sandbox.result("run")))
    assert result.status == "done"
    assert result.llm_calls_executed > 0
