"""Ray's own autoscaler under a search and its parts: nodes come from none, and nothing of ours keeps one afterwards."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.autoscaling_driver import IDLE_S
from tests.integration.conftest import MakeSandbox

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(1000)]

NOTICED_S = 30.0
"""What the autoscaler and a busy machine may need beside the idle timeout."""


def test_nodes_come_for_each_part_and_are_gone_within_the_idle_timeout_after_it(
    tmp_path: Path, tiny_model: Path, make_sandbox: MakeSandbox
) -> None:
    chat = {"model": str(tiny_model), "max_model_len": 512}
    sandbox = make_sandbox(
        "",
        models={"agent": chat, "operators": chat, "tuned": {"model": str(tiny_model)}},
        search={"num_strategies": 2, "max_rounds": 1},
    )
    root = Path(__file__).parents[2]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    driver = [sys.executable, "-m", "tests.integration.autoscaling_driver"]
    done = subprocess.run(
        [*driver, str(tmp_path), str(tiny_model), str(sandbox.config)],
        cwd=root,
        env=environment | {"PYTHONPATH": str(root), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]
    outlived = json.loads(done.stdout.splitlines()[-1])
    assert set(outlived) == {"team", "chat", "trainings", "search", "apply"}
    assert all(seconds <= IDLE_S + NOTICED_S for seconds in outlived.values()), outlived
