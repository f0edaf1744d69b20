"""docs/cluster.md: what can run without a cloud runs as it stands there, the rest is at least spelt right."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ray.scripts.scripts import start as ray_start
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args, symmetric_run
from typer.testing import CliRunner

from autodp_ray.cli.main import app
from tests.command_lines import params_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "cluster.md"
SEARCH = ROOT / "deploy" / "slurm" / "search.sh"
FENCE = re.compile(r"^```(\S.*?)\n(.*?)^```$", re.M | re.S)
PROGRAMS = {"bash": "bash", "python": sys.executable, "ray": str(Path(sys.executable).with_name("ray"))}


def commands(*kinds: str) -> list[str]:
    """The lines of the fences of these kinds."""
    fences = FENCE.findall(PAGE.read_text(encoding="utf-8"))
    return [line for kind, body in fences if kind in kinds for line in body.splitlines()]


@pytest.mark.parametrize("line", commands("console"))
def test_a_command_that_needs_no_cloud_runs(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(line)
    if program == "autodp":
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return
    run = subprocess.run([PROGRAMS[program], *arguments], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr


def test_every_fence_says_where_it_can_run() -> None:
    kinds = {kind for kind, _ in FENCE.findall(PAGE.read_text(encoding="utf-8"))}
    assert kinds == {"console", "console cloud", "console long"}


@pytest.mark.parametrize(
    "line", [line for line in commands("console cloud", "console long") if re.match(r"(autodp|submit) ", line)]
)
def test_other_commands_of_ours_have_options_that_exist_and_configs_that_are_there(line: str) -> None:
    params = params_of(line.replace("$SETS", "--set storage=s3://b --set dataset.path=s3://b/d.jsonl"))
    config = params.get("config")
    assert config is None or (ROOT / config).is_file()


def test_a_misspelt_option_would_be_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        params_of("autodp run configs/quickstart.yaml --run-dri runs/first")


def test_every_file_that_the_page_names_is_there() -> None:
    named = re.findall(r"(?:configs|deploy)/[\w./-]*\w|\bcluster\.yaml|constraints-\w+\.txt", PAGE.read_text("utf-8"))
    assert len(set(named)) > 8
    assert [name for name in sorted(set(named)) if not (ROOT / name).exists()] == []


def test_the_slurm_script_gives_ray_what_it_takes_and_runs_a_search_on_the_cluster() -> None:
    text = SEARCH.read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = [line for line in text.splitlines() if line.startswith("srun ")]
    words = shlex.split(line.replace("$SLURM_JOB_NUM_NODES", "2"))
    begin, end = words.index("symmetric-run") + 1, words.index("--")
    ray_arguments = curate_and_validate_ray_start_args(words[begin:end])
    asked = ray_start.make_context("start", list(ray_arguments)).params
    assert (asked["num_gpus"], asked["dashboard_host"]) == (8, "127.0.0.1")
    assert {option.name for option in symmetric_run.params} >= {"address", "min_nodes"}
    env, address, *command = words[end + 1 :]
    assert (env, address) == ("env", "RAY_ADDRESS=auto")  # without it autodp would start a Ray of its own
    assert params_of(shlex.join(command))["run_dir"] == "$SHARED/runs/$NAME"
    assert "#SBATCH --exclusive" in text  # symmetric-run ends with `ray stop`, which spares no other Ray of the user
