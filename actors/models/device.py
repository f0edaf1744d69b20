"""Which device a model of this process may use.

Ray hides no GPU from tasks and actors that reserve none (RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO is off by default), so
`torch.cuda.is_available()` says what the machine has, and not what this process was given.
"""

from __future__ import annotations

from typing import Literal

import ray


def device() -> Literal["cuda", "cpu"]:
    """`cuda` in a worker to which Ray gave a GPU; else `cpu`, in drivers and without Ray too."""
    if not ray.is_initialized() or not ray.get_runtime_context().get_accelerator_ids().get("GPU"):
        return "cpu"
    import torch  # heavy, and loaded by then where a model is

    return "cuda" if torch.cuda.is_available() else "cpu"
