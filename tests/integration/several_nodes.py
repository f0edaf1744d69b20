"""A head without CPUs and nodes of two, each on a loopback address of its own, and how to kill what runs on them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import ray
from ray._private.node import Node
from ray.cluster_utils import Cluster
from ray.job_submission import JobSubmissionClient

from actors.cluster.nodes import NAMESPACE
from tests.integration.watching import descendants, titles

T = TypeVar("T")

HEAD, OTHER_HEAD = "127.0.0.2", "127.0.0.3"
"""No node is at 127.0.0.1, which stands for a Ray that has one machine."""
NUM_NODES, CPUS = 3, 2
NOTICED: dict[str, int] = {"health_check_period_ms": 1000, "health_check_timeout_ms": 5000}
"""By Ray's own settings a killed node is noticed after 15 seconds."""
TAKES_JOBS_WITHIN_S = 60.0
ANY_PORT = 0
"""Ray's own default is one port, which another Ray of this machine may hold on all addresses: then no job is taken."""


@dataclass(slots=True)
class Nodes:
    """A cluster whose processes are children of the one that made it."""

    cluster: Cluster
    number: int = field(default=0)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    @property
    def job_server(self) -> str:
        """Where `ray job submit` finds it, if it was started with one."""
        return f"http://{self.cluster.webui_url}"

    def await_job_server(self) -> None:
        """Until it takes a job, which it does once the head's agent is there."""
        client = JobSubmissionClient(self.job_server)
        deadline = time.monotonic() + TAKES_JOBS_WITHIN_S
        while True:
            try:
                client.submit_job(entrypoint="true")
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def ask(self, question: Callable[[], T]) -> T:
        """What a function of a module finds as a driver of its own, since this process may be one of another Ray."""
        with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as process:
            return process.submit(_answer, self.address, question).result()

    def add(self) -> None:
        """One more node, at an address that none had before."""
        self.number += 1
        address = f"127.0.1.{self.number}"
        self.cluster.add_node(num_cpus=CPUS, node_ip_address=address, dashboard_agent_listen_port=ANY_PORT)

    def kill_process(self, title: str) -> bool:
        """SIGKILL for a process of that title, on whatever node; False where there is none."""
        for node in self.cluster.list_all_nodes():
            for pid in self._processes(node, title):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def kill_node(self, title: str) -> bool:
        """Take away the node on which a process of that title runs, and add another; False where there is none."""
        for node in list(self.cluster.worker_nodes):
            if self._processes(node, title):
                self.cluster.remove_node(node, allow_graceful=False)
                self.add()
                return True
        return False

    def _processes(self, node: Node, title: str) -> list[int]:
        (raylet,) = node.all_processes["raylet"]
        return [pid for pid, named in titles(descendants(raylet.process.pid)).items() if named.startswith(title)]


def _answer(address: str, question: Callable[[], T]) -> T:
    with ray.init(address=address, namespace=NAMESPACE, log_to_driver=False):
        return question()


def _free_port(address: str) -> int:
    with socket.socket() as listening:
        listening.bind((address, 0))
        return int(listening.getsockname()[1])


@contextmanager
def several_nodes(num_nodes: int = NUM_NODES, *, takes_jobs: bool = False, head: str = HEAD) -> Iterator[Nodes]:
    cluster = Cluster(shutdown_at_exit=True)
    try:
        cluster.add_node(
            num_cpus=0,
            node_ip_address=head,
            include_dashboard=takes_jobs,
            dashboard_host=head,
            dashboard_port=_free_port(head),
            dashboard_agent_listen_port=ANY_PORT,
            _system_config=NOTICED,
        )
        nodes = Nodes(cluster=cluster)
        for _ in range(num_nodes):
            nodes.add()
        if takes_jobs:
            nodes.await_job_server()
        yield nodes
    finally:
        cluster.shutdown()
