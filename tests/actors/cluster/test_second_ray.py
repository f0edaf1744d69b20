"""Two Rays after each other in one process, as of two runs of the Python API: none of the first is used on the other.

Jobs are numbered anew in each, so the number of its job does not tell one from the other.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

DRIVER = """
import os

import ray
from actors.cluster.kept_worker import run_on_kept_worker
from actors.serve.app import application_state, ensure_serve

for _ in range(2):
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    ensure_serve()
    state, worker, again = application_state("nobody's"), run_on_kept_worker(os.getpid), run_on_kept_worker(os.getpid)
    print(ray.get_runtime_context().get_job_id(), state, worker == again, worker, sep="|")
    ray.shutdown()
"""


def test_serve_and_kept_workers_are_those_of_the_ray_that_is_there() -> None:
    done = subprocess.run([sys.executable, "-c", DRIVER], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (first, worker), (second, other) = (line.rsplit("|", 1) for line in done.stdout.splitlines())
    assert first == second == "01000000|NOT_STARTED|True"
    assert worker != other
