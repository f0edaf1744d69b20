"""Where runs and cache lie: whether the driver and every node can use it, and how much is free."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial

from actors.storage.probe import planted, probe
from actors.storage.storage import Storage
from autodp_ray.cluster.node_answers import Answer
from autodp_ray.cluster.ray import Cluster, require_shared, storage_locations
from autodp_ray.doctor.check import Check, attempt, ok, problem, warning
from autodp_ray.doctor.needs import first_fault
from operators.contract.errors import InputError

LOW_DISK_BYTES = 5 * 10**9
"""A run may need more than this: processed samples, and checkpoints of a warm-up and a tuning."""

AskAll = Callable[[Callable[[], None]], list[Answer[None]]]
"""Puts a question to all nodes that answer, and waits for them."""


def storages(location: str | None, cluster: Cluster, ask: AskAll) -> list[Check]:
    """The storage of runs and that of the cache."""
    try:
        runs, cache = storage_locations(location)
    except InputError as error:
        return [problem("storage", error)]
    return [_checked("storage of runs", runs, cluster, ask), _checked("storage of the cache", cache, cluster, ask)]


def _checked(name: str, storage: Storage, cluster: Cluster, ask: AskAll) -> Check:
    def step() -> Check:
        require_shared(storage, cluster)
        storage.make_private()  # as a run makes it, which finds it there
        with planted(storage) as file:
            probe(storage, file)
            answers = ask(partial(probe, storage, file))
        fault = first_fault(answers)
        if fault is not None:
            return problem(name, fault)
        return _with_free_space(
            name, storage, f"{storage.location} can be written and read here and on all nodes asked"
        )

    return attempt(name, step)


def _with_free_space(name: str, storage: Storage, text: str) -> Check:
    if not storage.is_local:
        return ok(name, text)
    free = shutil.disk_usage(storage.location).free
    told = f"{text}, {free / 10**9:.1f} GB free"
    return (
        ok(name, told)
        if free >= LOW_DISK_BYTES
        else warning(name, f"{told}: make room, or choose another --set storage")
    )
