"""What a signal does to a command that waits for Ray."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
import ray

from autodp_ray.cluster.ray import interruptible

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("wait", [ray.get, lambda ref: ray.wait([ref], timeout=30)], ids=["get", "wait"])
def test_sigterm_ends_a_wait_for_ray_in_good_order(wait) -> None:
    pending = ray.remote(num_cpus=0)(lambda: time.sleep(30)).remote()
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt), interruptible():  # noqa: PT012 - the signal arrives inside the block
        timer.start()
        wait(pending)
    ray.cancel(pending, force=True)
