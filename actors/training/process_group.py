"""How the ranks of a training group on one machine without GPUs find each other: a file and the loopback interface.

Torch's usual rendezvous listens on every interface of the machine. Ranks on several nodes, or with GPUs, need it; a
group that lives on one machine does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from actors.storage.scratch import scratch_folder


@contextmanager
def local_process_group(*, rank: int, num_ranks: int, name: str) -> Iterator[None]:
    """A gloo group over the ranks of this machine; nothing for a single rank. `name` is the same on every rank."""
    if num_ranks == 1:
        yield
        return
    os.environ |= {
        "GLOO_SOCKET_IFNAME": "lo",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(num_ranks),
        "LOCAL_WORLD_SIZE": str(num_ranks),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
    }
    with scratch_folder(f"ranks-{name}") as meeting:
        dist.init_process_group("gloo", init_method=f"file://{meeting}/file", rank=rank, world_size=num_ranks)
        try:
            yield
        finally:
            dist.destroy_process_group()
