"""A driver of its own that shares a small Serve application on a cluster that is there.

    python -m tests.actors.serve_driver ADDRESS NAME ABANDONED_AFTER_S

Prints whether it holds the application, waits for a line, lets go of it and says so.
"""

from __future__ import annotations

import sys
import time

import ray
from ray import serve
from starlette.requests import Request

from actors.serve import sharing as serve_sharing
from actors.serve.app import ensure_serve
from actors.serve.sharing import hold_application, release_application

START_S = 3.0
TIMEOUT_S = 120.0


class Slow:
    """Takes its time to start, so that two drivers meet while it does."""

    def __init__(self) -> None:
        time.sleep(START_S)
        self.made = time.time()

    async def __call__(self, request: Request) -> float:
        return self.made


def build() -> serve.Application:
    """The application."""
    deployment: serve.Deployment = serve.deployment(ray_actor_options={"num_cpus": 0.1})(Slow)
    return deployment.bind()


def main(address: str, name: str, abandoned_after_s: str) -> None:
    serve_sharing.ABANDONED_AFTER_S = float(abandoned_after_s)
    ray.init(address=address, log_to_driver=False, namespace="another-driver")
    ensure_serve()
    print("starts", flush=True)
    print(hold_application(build, name=name, timeout_s=TIMEOUT_S), flush=True)
    sys.stdin.readline()
    release_application(name)
    print("released", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
