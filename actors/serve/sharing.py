"""Applications on Serve that runs share: one run deploys, all that want it use it, the last one deletes it.

A run holds an application by a named actor that does nothing. Ray ends it with the run's driver, however that ends, so
nothing has to be renewed. A guard, which outlives the run, deletes an application that all have left without a word.
One that has no guard is somebody else's, and is left as it is.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import ray
from ray import serve
from ray.actor import ActorHandle
from ray.exceptions import ActorAlreadyExistsError
from ray.util import list_named_actors

from actors.cluster.nodes import NAMESPACE
from actors.serve.app import application_state, await_application, delete_application, run_application
from operators.contract.errors import RunError

POLL_S = 0.2
RELEASE_TIMEOUT_S = 120.0
"""Longest wait for another run that starts or deletes the same application."""
GUARD_POLL_S = 5.0
ABANDONED_AFTER_S = 120.0
"""How long an application that no run holds is kept for one that may go on with it, as after a kill."""
logger = logging.getLogger(__name__)


class DriverHold:
    """A named actor without work: that it exists means that its driver is alive and uses the application."""


class Guard:
    """Deletes an application once no run has held it for a while, then ends. Lives as long as the application."""

    def __init__(self, name: str, *, abandoned_after_s: float) -> None:
        self._name = name
        self._abandoned_after_s = abandoned_after_s
        self._node = os.getppid()
        threading.Thread(target=self._watch, daemon=True).start()  # from here on also after a restart of the actor

    def _watch(self) -> None:
        last_held = time.monotonic()
        while True:
            time.sleep(min(GUARD_POLL_S, self._abandoned_after_s))
            if os.getppid() != self._node:  # its node is gone: there is another guard by now, which this one would end
                os._exit(1)
            try:
                if _held(self._name):
                    last_held = time.monotonic()
                elif time.monotonic() - last_held >= self._abandoned_after_s or not _exists(self._name):
                    self._end()
            except Exception as error:
                # A client of a Serve that was shut down meanwhile stays broken: Ray starts this actor anew.
                logger.warning("the guard of %s starts again (%s)", self._name, type(error).__name__)
                os._exit(1)

    def _end(self) -> None:
        """In a turn, which ends with this process: no run may find a guard that is about to go."""
        with _turn(self._name, timeout_s=RELEASE_TIMEOUT_S):
            if _held(self._name):
                return
            if _exists(self._name):
                logger.info("deleting Serve application %s, which no run holds any more", self._name)
                delete_application(self._name)
            ray.kill(ray.get_runtime_context().current_actor)
            threading.Event().wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hold:
    name: str
    actor: ActorHandle[DriverHold]


_HOLDS: dict[str, list[_Hold]] = {}
"""What this driver holds, by application: Ray ends an actor to which nobody has a handle."""


def hold_application(build: Callable[[], serve.Application], *, name: str, timeout_s: float) -> bool:
    """The application runs when this returns: found, awaited where somebody deploys it now, or built and deployed.

    True where this run holds it, and must call `release_application`.

    Raises: RunError where it failed to start, or was not ready in time.
    """
    with _turn(name, timeout_s=timeout_s + RELEASE_TIMEOUT_S):
        state = application_state(name)
        if not _is_guarded(name):
            if state == "DEPLOYING":
                await_application(name, timeout_s=timeout_s)
                return False
            if state == "RUNNING":
                return False
        hold_name = f"{_prefix(name)}{uuid.uuid4().hex}"
        hold = _Hold(name=hold_name, actor=_driver_hold(hold_name))
        try:
            _ensure_guard(name)
            if state != "RUNNING":
                logger.info("deploying Serve application %s", name)
                run_application(build(), name=name, timeout_s=timeout_s)
        except BaseException:
            ray.kill(hold.actor)
            raise
        _HOLDS.setdefault(name, []).append(hold)
        return True


def release_application(name: str) -> None:
    """This run lets go of an application that it holds; where nobody else holds it, it is deleted.

    Raises: RunError where it cannot be deleted.
    """
    hold = _HOLDS[name].pop()
    try:
        with _turn(name, timeout_s=RELEASE_TIMEOUT_S):
            if _held(name) <= {hold.name}:
                delete_application(name)
    finally:
        ray.kill(hold.actor)


def _held(name: str) -> set[str]:
    """Names of the holds of an application, by whatever run."""
    return {actor for actor in _named_actors() if actor.startswith(_prefix(name))}


def _is_guarded(name: str) -> bool:
    """Whether a run deployed the application, and not somebody else."""
    return _guard_name(name) in _named_actors()


def _ensure_guard(name: str) -> None:
    actor = ray.remote(num_cpus=0, max_restarts=-1)(Guard).options(
        name=_guard_name(name), namespace=NAMESPACE, lifetime="detached", get_if_exists=True
    )
    actor.remote(name, abandoned_after_s=ABANDONED_AFTER_S)


def _exists(name: str) -> bool:
    return application_state(name) != "NOT_STARTED"


def _named_actors() -> set[str]:
    return {actor["name"] for actor in list_named_actors(all_namespaces=True)}


def _guard_name(name: str) -> str:
    return f"autodp-guard/{name}"


def _prefix(name: str) -> str:
    return f"autodp-serve-{name}/"


@contextmanager
def _turn(name: str, *, timeout_s: float) -> Iterator[None]:
    """One run at a time decides about an application; the others wait."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            turn = _driver_hold(f"autodp-serve-{name}")
            break
        except ActorAlreadyExistsError:
            if time.monotonic() > deadline:
                raise RunError(
                    f"another run has been starting or deleting the Serve application {name!r} for {timeout_s:g} s; "
                    "start again when it is done, or give another app_name"
                ) from None
            time.sleep(POLL_S)
    try:
        yield
    finally:
        ray.kill(turn)


def _driver_hold(name: str) -> ActorHandle[DriverHold]:
    """An actor without resources that ends with this driver. Raises: ActorAlreadyExistsError."""
    actor = ray.remote(num_cpus=0, max_restarts=-1)(DriverHold).options(name=name, namespace=NAMESPACE)
    return cast("ActorHandle[DriverHold]", actor.remote())
