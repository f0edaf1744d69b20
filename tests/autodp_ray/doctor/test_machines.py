"""A node is well if it answers, runs what the driver runs, and can compute on the GPUs that Ray counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autodp_ray.doctor.check import Check
from autodp_ray.doctor.machines import GpuAnswers, by_node, cluster_size, node_state
from autodp_ray.doctor.node_questions import Installation
from operators.contract.errors import AutoDPError, RunError
from tests.autodp_ray.doctor.fakes import GIB, INSTALLED, cluster, node, said


def state(found: Installation | AutoDPError, *, num_gpus: float = 0, gpus: GpuAnswers | None = None) -> Check:
    return node_state(INSTALLED, said(found, num_gpus=num_gpus), gpus or {})


def test_a_node_like_the_driver_is_well() -> None:
    found = state(INSTALLED)
    assert (found.name, found.status) == ("node 10.0.0.1", "ok")
    assert found.text == "4 CPUs, no GPU, object store 2.0 GiB"


def test_a_node_that_does_not_answer_is_a_problem() -> None:
    found = state(RunError("no answer within 60 s"))
    assert (found.status, found.text) == ("problem", "no answer within 60 s")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"python": "3.12.1"}, "python is 3.12.1 there and 3.11.9 here"),
        ({"code": "d" * 64}, "autodp_ray is other code there (dddddddddddd) than here (cccccccccccc)"),
        ({"packages": {**INSTALLED.packages, "ray": "2.59.0"}}, "ray is 2.59.0 there and 1.0 here"),
    ],
)
def test_python_ray_and_our_code_are_the_same_everywhere(change: dict[str, Any], told: str) -> None:
    found = state(replace(INSTALLED, **change))
    assert found.status == "problem"
    assert told in found.text


def test_other_packages_may_differ_but_it_is_said() -> None:
    found = state(replace(INSTALLED, packages={**INSTALLED.packages, "torch": "2.14"}))
    assert found.status == "warning"
    assert "torch is 2.14 there and 1.0 here" in found.text
    assert state(replace(INSTALLED, packages={**INSTALLED.packages, "torch": "1.0+cu128"})).status == "ok"
    assert state(replace(INSTALLED, packages={"ray": "1.0"})).status == "ok"


def test_gpus_are_told_with_their_memory() -> None:
    gpus = by_node([said((80 * GIB, 79 * GIB), num_gpus=2)])
    found = state(INSTALLED, num_gpus=2, gpus=gpus)
    assert found.status == "ok"
    assert "2 GPUs of 79.0 GiB that torch can use" in found.text


def test_gpus_that_torch_does_not_see_are_a_problem() -> None:
    found = state(INSTALLED, num_gpus=2, gpus={"n1": ()})
    assert found.status == "problem"
    assert found.text == "Ray counts 2 GPUs, but torch sees 0: install a CUDA build of torch"
    found = state(INSTALLED, num_gpus=2, gpus={"n1": RunError("no answer within 60 s")})
    assert (found.status, found.text) == ("problem", "its GPUs cannot be asked: no answer within 60 s")


def test_the_cluster_is_told_as_a_whole_and_whether_it_may_grow() -> None:
    own = cluster_size(cluster(is_own=True), [node()])
    assert own.text == "a Ray of its own on this machine, 4 CPUs, 0 GPUs, object store 2.0 GiB"
    grows = cluster_size(cluster(2, may_grow=True), [node(1), node(2)])
    assert grows.text == (
        "2 nodes alive, 8 CPUs, 0 GPUs, object store 4.0 GiB; "
        "an autoscaler may add nodes, looked at once they are alive"
    )
