"""Operators of other packages: which are offered here, and whether every node has those that the config names."""

from __future__ import annotations

from collections.abc import Sequence

from autodp_ray.cluster.node_answers import Answer, NoAnswerInTimeError
from autodp_ray.cluster.outside_operators import short_version
from autodp_ray.doctor.check import Check, ok, problem, warning
from autodp_ray.doctor.needs import first_fault
from operators.contract.errors import AutoDPError
from operators.outside import Offer
from operators.registry import OWN_NAMES


def offered(offers: Sequence[Offer]) -> list[Check]:
    """What the packages installed here offer; they are not imported for it."""
    return [_offered(offer) for offer in offers]


def _offered(offer: Offer) -> Check:
    name = f"operator {offer.name}"
    if offer.name in OWN_NAMES:
        return problem(name, f"{offer.distribution} offers one by the name of ours: uninstall it, or have it renamed")
    return ok(name, f"{offer.reference} of {offer.distribution}")


def on_nodes(reference: str, answers: Sequence[Answer[str]]) -> Check:
    """Whether all nodes can import the operator, and find the same code."""
    name = f"operator {reference}"
    late = [answer for answer in answers if isinstance(answer.value, NoAnswerInTimeError)]
    if fault := first_fault([answer for answer in answers if answer not in late]):
        return problem(name, fault)
    if late:
        return warning(name, first_fault(late) or "")
    found: dict[str, list[str]] = {}
    for answer in answers:
        assert not isinstance(answer.value, AutoDPError)
        found.setdefault(short_version(answer.value), []).append(answer.node.address)
    if len(found) > 1:
        parts = [f"{version} on {', '.join(addresses)}" for version, addresses in found.items()]
        return problem(name, f"nodes have different code ({'; '.join(parts)}): install the same on each")
    return ok(name, f"{next(iter(found), 'no version')}, the same on all nodes asked ({len(answers)})")
