"""The Slurm script gives Ray's own command what that takes."""

from __future__ import annotations

import shlex
from pathlib import Path

from ray.scripts.scripts import start as ray_start
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args, symmetric_run

from tests.command_lines import params_of

SEARCH = Path(__file__).parents[1] / "deploy" / "slurm" / "search.sh"


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
