"""The Ray that a command runs on: an existing cluster, or one of its own on this machine, on loopback.

The only module that calls `ray.init`. A Ray that it started is gone when the command ends; a cluster that it found
stays as it was.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import ray

from actors.cluster.nodes import NAMESPACE, Node, described_nodes, may_grow
from actors.storage.storage import Storage
from operators.contract.errors import InputError, RunError

log = logging.getLogger(__name__)

SLOW_START = "timed out during startup"
"""In what Ray says, as a bare `Exception`, where its processes are not up within half a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the commands need to know of the Ray they run on."""

    is_own: bool
    num_nodes: int
    may_grow: bool = False
    """Whether an autoscaler may add nodes to those that are alive now."""
    num_cpus: float
    num_gpus: float
    hosts: frozenset[str]
    """Addresses of the nodes."""
    nodes: tuple[Node, ...] = ()


@contextmanager
def connected(*, num_cpus: int | None = None) -> Iterator[Cluster]:
    """Connect to RAY_ADDRESS (`auto`: the cluster on this machine), or start a Ray here, shut down at the end.

    Raises: RunError where the cluster that RAY_ADDRESS names does not answer.
    """
    if ray.is_initialized():
        yield _describe(is_own=False)
        return
    address = os.environ.get("RAY_ADDRESS")
    _start(address, num_cpus)
    try:
        yield _describe(is_own=address is None)
    finally:
        ray.shutdown()


def _start(address: str | None, num_cpus: int | None) -> None:
    """`ray.init`, which must not take our place as the handler of SIGTERM."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)} if _in_main() else {}
    try:
        if address is None:
            ray.init(
                address="local",  # and not the cluster that may run on this machine
                num_cpus=num_cpus or max(2, os.cpu_count() or 1),
                namespace=NAMESPACE,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.WARNING,
            )
        else:
            ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    except Exception as error:
        raise _start_failure(address, error) from error
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _start_failure(address: str | None, error: Exception) -> Exception:
    """What is to be said of a Ray that did not start; the error itself where nobody knows it."""
    if address is None and SLOW_START in str(error):
        return RunError("Ray did not start here in time: the machine is busy; the same command tries again")
    if isinstance(error, ConnectionError | TimeoutError | ValueError) or "Version mismatch" in str(error):
        return RunError(f"cannot reach the Ray cluster at {address or 'this machine'}: {error}")
    return error


def _in_main() -> bool:
    return threading.current_thread() is threading.main_thread()


def _describe(*, is_own: bool) -> Cluster:
    nodes = described_nodes()
    resources = ray.cluster_resources()
    return Cluster(
        is_own=is_own,
        num_nodes=len(nodes),
        may_grow=may_grow(),
        num_cpus=float(resources.get("CPU", 0)),
        num_gpus=float(resources.get("GPU", 0)),
        hosts=frozenset(node.address for node in nodes),
        nodes=tuple(nodes),
    )


class Interrupted(KeyboardInterrupt):
    """SIGTERM arrived; the run ends in good order and can be resumed.

    A KeyboardInterrupt, because Ray's compiled waits let no other exception of a signal handler out whole.
    """


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM into `Interrupted`, so that `finally` blocks run; `ray job stop` sends it."""
    if not _in_main():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def in_ray_job() -> bool:
    """Whether this process is the entrypoint of a `ray job submit`."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def storage_locations(storage: str | None) -> tuple[Storage, Storage]:
    """The folders of runs and of the cache.

    Raises: InputError for a file, and inside a Ray job without a storage of its own, where a relative path would lie
    in the job's temporary copy of the working folder.
    """
    if storage is None:
        if in_ray_job():
            raise InputError(
                "a Ray job runs in a temporary copy of the working folder, where results and cache would be lost: "
                "say where they belong with --set storage=/absolute/path or --set storage=s3://bucket/prefix"
            )
        return Storage.at("runs"), Storage.at(".autodp/cache")
    if in_ray_job() and not _is_absolute(storage):
        raise InputError(f"storage {storage!r} is relative; inside a Ray job it must be an absolute path or a URI")
    root = Storage.at(storage)
    if root.is_local and root.is_file():
        raise InputError(f"storage {storage!r} is a file; name a folder or a URI")
    return root.folder("runs"), root.folder("cache")


def require_lasting(location: str, *, what: str = "the run folder") -> None:
    """Raises: InputError for a relative folder inside a Ray job: it would be lost with the job."""
    if in_ray_job() and not _is_absolute(location):
        raise InputError(f"{what} {location!r} is relative; inside a Ray job it must be an absolute path or URI")


def require_shared(storage: Storage, cluster: Cluster) -> None:
    """Raises: InputError where storage is a path that other nodes, there or to come, may not see."""
    has_others = cluster.num_nodes > 1 or cluster.may_grow
    if has_others and storage.is_local and "AUTODP_SHARED_STORAGE" not in os.environ:
        size = f"has {cluster.num_nodes} nodes" if cluster.num_nodes > 1 else "may grow to several nodes"
        raise InputError(
            f"the cluster {size}, but storage {storage.location!r} is a local path: "
            "give a URI (--set storage=s3://bucket/prefix), or set AUTODP_SHARED_STORAGE=1 where every node mounts it"
        )


def _is_absolute(location: str) -> bool:
    return "://" in location or os.path.isabs(os.path.expanduser(location))
