"""Several drivers on one cluster want one application: deployed once, deleted by the last, and never under another."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import ray
from ray import serve
from starlette.requests import Request

from actors.serve.app import application_state, delete_application, ensure_serve, run_application
from actors.serve.sharing import hold_application, release_application
from operators.contract.errors import RunError
from tests.actors.serve_driver import TIMEOUT_S, build

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def never() -> serve.Application:
    raise AssertionError("the application is there: nothing is to be built")


def is_there(name: str) -> bool:
    return name in serve.status().applications


def named_actors() -> list[str]:
    return [actor["name"] for actor in ray.util.list_named_actors(all_namespaces=True)]


def guards(name: str) -> list[str]:
    return [actor for actor in named_actors() if actor == f"autodp-guard/{name}"]


def await_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def made(name: str) -> float:
    """When the replica that answers was made."""
    return float(httpx.get(f"{ensure_serve()}/{name}", timeout=30).json())


@contextmanager
def driver(name: str, *, abandoned_after_s: float = 60.0) -> Iterator[subprocess.Popen[str]]:
    """Another driver, from the moment at which it starts the application."""
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-m", "tests.actors.serve_driver", address, name, str(abandoned_after_s)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert said(process) == "starts"
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_drivers_deploy_once_and_the_last_one_deletes() -> None:
    with driver("shared") as other:
        await_until(lambda: application_state("shared") != "NOT_STARTED")
        assert hold_application(never, name="shared", timeout_s=TIMEOUT_S), "awaited, though the other one deploys it"
        assert said(other) == "True"
        before = made("shared")
        other.communicate("go\n", timeout=TIMEOUT_S)
        assert made("shared") == before, "the driver that deployed it is gone, and it serves on"
    release_application("shared")
    assert not is_there("shared")


def test_a_driver_that_was_killed_holds_nothing() -> None:
    with driver("orphan") as other:
        assert said(other) == "True"
        assert hold_application(never, name="orphan", timeout_s=TIMEOUT_S)
        other.kill()
        other.wait()
    await_until(lambda: len([mark for mark in named_actors() if "orphan/" in mark]) == 1)
    release_application("orphan")
    assert not is_there("orphan")


def test_an_application_whose_only_driver_was_killed_is_deleted_after_a_while() -> None:
    with driver("left", abandoned_after_s=0.5) as other:
        assert said(other) == "True"
        time.sleep(3)
        assert is_there("left"), "held, however long ago it was deployed"
    await_until(lambda: not is_there("left"))
    await_until(lambda: not guards("left"))


def test_a_run_that_comes_soon_after_a_kill_goes_on_with_the_application() -> None:
    with driver("resumed") as other:
        assert said(other) == "True"
        before = made("resumed")
    await_until(lambda: not [mark for mark in named_actors() if "resumed/" in mark])
    assert hold_application(never, name="resumed", timeout_s=TIMEOUT_S), "held by this run now, so not abandoned"
    assert made("resumed") == before
    release_application("resumed")
    assert not is_there("resumed")


@pytest.mark.slow
def test_a_guard_outlives_a_serve_that_was_shut_down() -> None:
    with driver("twice", abandoned_after_s=0.5) as first:
        assert said(first) == "True"
        serve.shutdown()
        with driver("twice", abandoned_after_s=0.5) as second:
            assert said(second) == "True"
            assert is_there("twice")
    await_until(lambda: not is_there("twice"))
    await_until(lambda: not guards("twice"))


def test_the_guard_goes_with_the_application() -> None:
    ensure_serve()
    assert hold_application(build, name="guarded", timeout_s=TIMEOUT_S)
    assert guards("guarded")
    release_application("guarded")
    await_until(lambda: not guards("guarded"))


def test_an_application_that_no_run_deployed_is_left_as_it_is() -> None:
    ensure_serve()
    run_application(build(), name="theirs", timeout_s=TIMEOUT_S)
    try:
        assert not hold_application(never, name="theirs", timeout_s=TIMEOUT_S)
        assert is_there("theirs")
    finally:
        delete_application("theirs")


class DiesOnce:
    """Its process ends while it starts, as with its node; not so the next one's."""

    def __init__(self, died: Path) -> None:
        if not died.exists():
            died.touch()
            os._exit(1)

    async def __call__(self, request: Request) -> float:
        return 1.0


@pytest.mark.slow
def test_an_application_whose_process_dies_while_it_starts_is_deployed_again(tmp_path: Path) -> None:
    ensure_serve()
    died = tmp_path / "died"
    deployment: serve.Deployment = serve.deployment(max_constructor_retry_count=1)(DiesOnce)
    run_application(deployment.bind(died), name="dies-once", timeout_s=TIMEOUT_S)
    assert died.exists()
    assert made("dies-once") == 1
    delete_application("dies-once")


def test_a_build_that_fails_leaves_nothing_behind() -> None:
    ensure_serve()

    def broken() -> serve.Application:
        raise RunError("no model")

    for _ in range(2):  # the second one does not wait for the first
        with pytest.raises(RunError, match="no model"):
            hold_application(broken, name="broken", timeout_s=TIMEOUT_S)
    assert not is_there("broken")
    assert not [mark for mark in named_actors() if "-broken" in mark]
    await_until(lambda: not guards("broken"))
