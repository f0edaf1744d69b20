"""This machine's processor: its name, and what it multiplies by itself. Knows no torch, so that a driver can ask."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""How /proc/cpuinfo names bfloat16 products, on x86 and on Arm. Emulated they are slower than float32."""


_CPUINFO = Path("/proc/cpuinfo")


@cache
def multiplies_bf16(cpuinfo: Path = _CPUINFO) -> bool:
    """Whether bfloat16 matrix products are native here; not known counts as no."""
    words = {word for line in _lines(cpuinfo) if line.startswith(("flags", "Features")) for word in line.split()}
    return not BF16_FLAGS.isdisjoint(words)


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """The processor's name as its maker spells it, or else its architecture."""
    names = (line.partition(":")[2].strip() for line in _lines(cpuinfo) if line.startswith("model name"))
    return next(filter(None, names), platform.machine())


def _lines(cpuinfo: Path) -> list[str]:
    return cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.is_file() else []
