"""Operators of other packages on the machines of a cluster: each must be there, with the code that the driver has."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import partial

from actors.cluster.nodes import described_nodes
from autodp_ray.cluster.node_answers import Answer, NoAnswerInTimeError, ask_nodes
from operators.contract.code_version import is_ours
from operators.contract.errors import AutoDPError, RunError
from operators.contract.operator import Operator
from operators.outside import operator_version, reference_of

LIMIT_S = 120.0
"""Longest wait for all nodes; each may have to start a worker, and to import the package."""

log = logging.getLogger(__name__)


def outside_references(operators: Iterable[Operator]) -> tuple[str, ...]:
    """`module:Class` of the operators that are not ours, each once."""
    return tuple(dict.fromkeys(reference_of(one) for one in operators if not is_ours(type(one))))


def require_operators(operators: Iterable[Operator]) -> None:
    """Have every node import the operators of other packages; ours are there with this project.

    Raises: RunError where a node cannot import one, or finds other code under its name.
    """
    references = outside_references(operators)
    if not references:
        return
    nodes = described_nodes()
    asked = [(each, ask_nodes(nodes, partial(operator_version, each), limit_s=LIMIT_S)) for each in references]
    for reference, answers in asked:
        check_versions(reference, operator_version(reference), answers())


def check_versions(reference: str, own: str, answers: Sequence[Answer[str]]) -> None:
    """Raises: RunError for the first node that has no such operator, or another one."""
    for answer in answers:
        if isinstance(answer.value, NoAnswerInTimeError):
            log.warning("node %s has not yet said whether it can import %s", answer.node.address, reference)
        elif isinstance(answer.value, AutoDPError):
            raise RunError(f"on node {answer.node.address}: {answer.value}")
        elif answer.value != own:
            raise RunError(
                f"on node {answer.node.address}: operator {reference} has other code ({short_version(answer.value)}) "
                f"than here ({short_version(own)}); install the same version there"
            )


def short_version(version: str) -> str:
    """Twelve digits of the digest are enough to be read."""
    return version[: version.rfind(" ") + 13]
