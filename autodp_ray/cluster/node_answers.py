"""Asks machines of the cluster one question, each by a task that is pinned to it, and waits no longer than it may.

Knows no question; those of `autodp doctor` stand in doctor/node_questions.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.cluster.nodes import Node
from operators.contract.errors import AutoDPError, RunError

T = TypeVar("T")


class NoAnswerInTimeError(RunError):
    """A node that may yet answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T]):
    """What one node says."""

    node: Node
    value: T | AutoDPError
    """Its answer, or why there is none."""


def ask_nodes(nodes: Sequence[Node], question: Callable[[], T], *, limit_s: float) -> Callable[[], list[Answer[T]]]:
    """Ask all nodes at once; what comes back waits for their answers, until `limit_s` after the asking.

    The question is a function of a module, or a partial of one, and reads no rows: its errors are quoted.
    """
    until = time.monotonic() + limit_s
    asked = [(node, _asked(node, question)) for node in nodes]
    return lambda: [Answer(node=node, value=_value(ref, until=until, limit_s=limit_s)) for node, ref in asked]


def _asked(node: Node, question: Callable[[], T]) -> ray.ObjectRef[T | AutoDPError]:
    here = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    task: Any = ray.remote(answer)  # Ray's stubs know no pinning to a node
    options = task.options(num_cpus=0, max_retries=0, scheduling_strategy=here)
    ref: ray.ObjectRef[T | AutoDPError] = options.remote(question)
    return ref


def _value(ref: ray.ObjectRef[T | AutoDPError], *, until: float, limit_s: float) -> T | AutoDPError:
    try:
        value: T | AutoDPError = ray.get(ref, timeout=max(0.0, until - time.monotonic()))
    except GetTimeoutError:
        ray.cancel(ref, force=True)
        return NoAnswerInTimeError(
            f"no answer within {limit_s:g} s: the node is busy or out of reach, or what it reads or downloads large; "
            "try again"
        )
    except RayError as error:
        return RunError(
            f"no answer ({type(error).__name__}): see that this project is installed there, or that the job brings it "
            "(--working-dir), and the logs of the Ray session"
        )
    return value


def answer(question: Callable[[], T]) -> T | AutoDPError:
    """The answer of the process that is asked; an error comes back as a value, which keeps its type."""
    try:
        return question()
    except AutoDPError as error:
        return error
    except Exception as error:
        return RunError(f"{type(error).__name__}: {error}")
