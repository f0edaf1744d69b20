"""How much memory the GPU of a worker has: asked on a GPU node, since the driver may have none."""

from __future__ import annotations

import ray

from operators.contract.errors import RunError


def gpu_bytes_of_worker(num_gpus: float) -> int:
    """Bytes of the GPU that Ray gives to a task with `num_gpus`; waits until a cluster has grown one.

    Raises: RunError where that worker's torch sees no GPU.
    """
    task = ray.remote(num_gpus=min(1.0, num_gpus))(_gpu_bytes)
    found: int = ray.get(task.remote())
    if found == 0:
        raise RunError("Ray has a GPU for the training, but torch sees none there: install a CUDA build of torch")
    return found


def gpu_sizes() -> tuple[int, ...]:
    """Bytes of each GPU that torch sees from this process; empty where it sees none."""
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(torch.cuda.get_device_properties(at).total_memory for at in range(torch.cuda.device_count()))


def _gpu_bytes() -> int:
    return next(iter(gpu_sizes()), 0)
