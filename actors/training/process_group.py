"""How the ranks of a training group on one machine without GPUs find each other: a file and the loopback interface.

Torch's usual rendezvous listens on every interface of the machine. Ranks on several nodes, or with GPUs, need it; a
group that lives on one machine does not.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist


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
    meeting = Path(tempfile.gettempdir()) / f"autodp-ranks-{name}"
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=num_ranks)
    try:
        yield
    finally:
        dist.destroy_process_group()
        meeting.unlink(missing_ok=True)
