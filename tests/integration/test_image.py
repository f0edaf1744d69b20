"""The CPU image by a container engine: what its user may run, and a cluster of two containers that does a job."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.image_engine import NEEDED, Container, Image, built, container

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        os.geteuid() != 0 or any(shutil.which(name) is None for name in NEEDED),
        reason=f"wants the user root and {', '.join(NEEDED)}",
    ),
]

HEAD, WORKER = "192.0.2.1", "192.0.2.2"  # of the net that is kept for examples
NETWORK = f"""
ip link set lo up
ip address add {HEAD}/24 dev lo
ip address add {WORKER}/24 dev lo
ip route add default dev lo src {HEAD}
echo up
exec sleep infinity
"""
JOB_SERVER = f"http://{HEAD}:8265"
STORE = "--object-store-memory 500000000"  # fits in the shared memory of a container
ENDS_WITHIN_S = 60.0
MOUNT = "/mnt/autodp"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    with built("cpu", folder) as found:
        yield found
    shutil.rmtree(folder)  # an image has some gigabytes


def test_its_user_runs_what_kuberay_starts_and_probes(image: Image) -> None:
    with container(image) as made:
        assert made.run("id", "--user").strip() == "1000"
        assert "Usage: autodp" in made.run("autodp", "--help")
        assert "ray, version 2.60.0" in made.run("bash", "-lc", "ray --version && which autodp wget")
        made.run("autodp", "doctor", "/opt/autodp/configs/quickstart.yaml")  # fails after a problem
        sizes = {
            path: int(made.run("du", "--summarize", "--block-size=1M", path).split()[0])
            for path in ("/opt/code", "/opt/venv")
        }
        assert sizes["/opt/code"] < 20, "the code is a small layer of its own"
        assert sizes["/opt/venv"] < 2500, "no compiler, no CUDA"


def test_two_containers_are_a_cluster_that_does_a_job(image: Image, tmp_path: Path) -> None:
    """The head and a worker as KubeRay starts them, without capabilities, on a network that nothing else sees."""
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 1000, 1000)
    with _network() as inside, ExitStack() as stack:
        options = (
            f"--volume={shared}:{MOUNT}",
            *("--cap-drop", "all"),
            *("--env", "RAY_AUTH_MODE=token", "--env", "RAY_AUTH_TOKEN=made-for-a-test-of-the-image"),
            *("--env", "AUTODP_SHARED_STORAGE=1", "--env", "HF_HUB_OFFLINE=1", "--env", f"RAY_ADDRESS={HEAD}:6379"),
        )
        head, worker = (stack.enter_context(container(image, *options, inside=inside)) for _ in range(2))
        at_head = f"ray start --head --node-ip-address {HEAD} --dashboard-host 0.0.0.0 --num-cpus 1 {STORE} --block"
        stack.enter_context(_node(head, at_head, is_up="ray status"))
        at_worker = f"ray start --address {HEAD}:6379 --node-ip-address {WORKER} --num-cpus 2 {STORE} --block"
        stack.enter_context(_node(worker, at_worker, is_up="ray status | grep '/3.0 CPU'"))
        said = head.run(
            *("ray", "job", "submit", "--address", JOB_SERVER, "--"),
            *("autodp", "run", "/opt/autodp/configs/quickstart.yaml", "--run-dir", f"{MOUNT}/runs/first"),
            *("--set", f"storage={MOUNT}", "--strategies", "cleaning,generation"),
        )
        print(said)
        assert "succeeded" in said
    result = json.loads((shared / "runs" / "first" / "result.json").read_text(encoding="utf-8"))
    assert result["status"] == "done"
    assert [(one["strategy"], one["status"]) for each in result["rounds"] for one in each["strategies"]] == [
        ("cleaning", "scored"),
        ("generation", "scored"),
    ]
    assert sorted(node["num_cpus"] for node in result["hardware"]["nodes"]) == [1.0, 2.0]


@contextmanager
def _network() -> Iterator[tuple[str, ...]]:
    """The way into a network that has two addresses and nobody else."""
    held = subprocess.Popen(["unshare", "--net", "sh", "-ec", NETWORK], stdout=subprocess.PIPE)
    assert held.stdout is not None
    assert held.stdout.readline() == b"up\n"
    try:
        yield ("nsenter", f"--net=/proc/{held.pid}/ns/net")
    finally:
        held.kill()
        held.wait()


@contextmanager
def _node(made: Container, command: str, *, is_up: str) -> Iterator[None]:
    """A node that is up, until the end."""
    process = subprocess.Popen(made.command("bash", "-lc", command))
    try:
        while subprocess.run(made.command("bash", "-lc", is_up), capture_output=True, check=False).returncode:
            assert process.poll() is None, command
            time.sleep(2.0)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=ENDS_WITHIN_S)
