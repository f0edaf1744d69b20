"""What this machine's processor multiplies by itself. Knows no torch, so that a driver can ask."""

from __future__ import annotations

from functools import cache
from pathlib import Path

BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""How /proc/cpuinfo names bfloat16 products, on x86 and on Arm. Emulated they are slower than float32."""


@cache
def multiplies_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether bfloat16 matrix products are native here; not known counts as no."""
    if not cpuinfo.is_file():
        return False
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    words = {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}
    return not BF16_FLAGS.isdisjoint(words)
