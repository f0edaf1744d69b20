"""Two whole runs of one config on one cluster at the same moment: what both need is done once."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest
import ray

from tests.integration.conftest import MakeSandbox, Sandbox
from tests.integration.scripted_endpoint import scripted_endpoint, sensible

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

GIVEN = "cleaning,cleaning>generation,cleaning>optimization,cleaning>generation>optimization"


def start(sandbox: Sandbox, run_dir: str) -> subprocess.Popen[str]:
    command = sandbox.command("run", "config.yaml", "--run-dir", run_dir, "--strategies", GIVEN)
    environment = sandbox.environment() | {"RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    return subprocess.Popen(
        command, cwd=sandbox.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def executed(sandbox: Sandbox, name: str) -> Counter[str]:
    """Keys of what both runs did themselves."""
    events = [event for run in ("one", "two") for event in sandbox.events(run) if event["name"] == name]
    return Counter(str(event["key"]) for event in events if event["payload"]["executed"])  # type: ignore[index]


def test_two_runs_of_one_config_at_the_same_moment_share_every_team_run_and_training(
    make_sandbox: MakeSandbox,
) -> None:
    with scripted_endpoint(sensible) as endpoint:
        sandbox = make_sandbox(endpoint.base_url)
        runs = [start(sandbox, name) for name in ("one", "two")]
        for run in runs:
            _, errors = run.communicate(timeout=400)
            assert run.returncode == 0, errors[-3000:]
    first, second = (sandbox.result(name) for name in ("one", "two"))
    team_runs, trainings = executed(sandbox, "team_run"), executed(sandbox, "training")
    assert (len(team_runs), max(team_runs.values()), max(trainings.values())) == (4, 1, 1)
    assert int(str(first["team_runs_executed"])) + int(str(second["team_runs_executed"])) == 4
    assert int(str(first["trainings_executed"])) + int(str(second["trainings_executed"])) == len(trainings)
    for name in ("team_runs_requested", "trainings_requested", "best_measured", "best_score", "test_ci95"):
        assert first[name] == second[name], name
