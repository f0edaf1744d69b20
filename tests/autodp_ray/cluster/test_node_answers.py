"""Every node answers for itself, an error comes back as one, and nobody is waited for too long."""

from __future__ import annotations

import time
from functools import partial

import pytest
import ray

from actors.cluster.nodes import Node, described_nodes
from autodp_ray.cluster.node_answers import answer, ask_nodes
from operators.contract.errors import InputError, RunError


def refuse() -> str:
    raise InputError("no such model")


def break_down() -> str:
    raise KeyError("x")


def test_an_error_of_ours_is_an_answer_and_any_other_one_is_a_failed_run() -> None:
    assert answer(lambda: 3) == 3
    assert isinstance(answer(refuse), InputError)
    broken = answer(break_down)
    assert isinstance(broken, RunError)
    assert str(broken) == "KeyError: 'x'"


def test_nobody_asked_is_nobody_waited_for() -> None:
    assert ask_nodes([], refuse, limit_s=60)() == []


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_nodes_answer_until_their_time_is_up_and_one_that_is_gone_is_told() -> None:
    (here,) = described_nodes()
    gone = Node(node_id="ab" * 28, address="10.0.0.9", num_cpus=1, num_gpus=0, object_store_bytes=0)
    quick = ask_nodes([here, gone], partial(int, "3"), limit_s=60)
    slow = ask_nodes([here], partial(time.sleep, 600), limit_s=2)
    found = quick()
    assert found[0].value == 3
    assert isinstance(found[1].value, RunError)
    (silent,) = slow()
    assert isinstance(silent.value, RunError)
    assert "no answer within 2 s" in str(silent.value)
    assert ray.is_initialized()
