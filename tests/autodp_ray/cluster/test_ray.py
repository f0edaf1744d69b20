"""What a signal does to a command that waits for Ray."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
import ray

from autodp_ray.cluster.ray import interruptible

pytestmark = pytest.mark.ray


def terminate_after(ready: threading.Event) -> None:
    """Send SIGTERM to this process, once the block that catches it has begun, and not at all where it never does."""
    if ready.wait(60):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("wait", [ray.get, lambda ref: ray.wait([ref], timeout=30)], ids=["get", "wait"])
def test_sigterm_ends_a_wait_for_ray_in_good_order(wait: Callable[[object], object]) -> None:
    pending = ray.remote(num_cpus=0)(lambda: time.sleep(30)).remote()
    is_inside = threading.Event()
    sender = threading.Thread(target=terminate_after, args=(is_inside,))
    sender.start()
    with pytest.raises(KeyboardInterrupt), interruptible():  # noqa: PT012 - the signal arrives inside the block
        is_inside.set()
        wait(pending)
    sender.join()
    ray.cancel(pending, force=True)
