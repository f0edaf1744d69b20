"""Random projections of gradients that keep cosines: CountSketch, and dense Rademacher for reference.

Both draw their randomness from a hash of (seed, coordinate), so no matrix is stored, any slice of a gradient can be
projected by itself, and every process projects alike. Knows no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch

BLOCK_COORDINATES = 1 << 16
"""Coordinates hashed at a time: the buffers stay in the processor's cache."""
DENSE_BLOCK_COORDINATES = 1 << 11
"""Rows of the dense sign matrix made at a time."""
_MAX_COORDINATES = 1 << 32
_SIGN_BITS = 32
_LANE_SEED = 0x2545F491


class Projection(Protocol):
    """A fixed random linear map of P coordinates to `dim`."""

    @property
    def dim(self) -> int: ...

    def add(self, out: torch.Tensor, values: torch.Tensor, *, offset: int) -> None:
        """Adds to `out` [N, dim] the projection of coordinates [offset, offset + P) with `values` [N, P], float32."""


def projection(kind: Literal["countsketch", "rademacher"], *, dim: int, seed: int) -> Projection:
    """The projection that a spec names."""
    return CountSketch(dim=dim, seed=seed) if kind == "countsketch" else Rademacher(dim=dim, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSketch:
    """Each coordinate goes to one hashed bucket with a hashed sign; `dim` is a power of two.

    Source: Charikar, Chen, Farach-Colton, Finding frequent items in data streams (2002).
    """

    dim: int
    seed: int

    def add(self, out: torch.Tensor, values: torch.Tensor, *, offset: int) -> None:
        for start in range(0, values.shape[1], BLOCK_COORDINATES):
            block = values[:, start : start + BLOCK_COORDINATES]
            hashes = _hashes(offset + start, block.shape[1], seed=self.seed, device=values.device)
            buckets = (hashes & (self.dim - 1)).long()
            out.index_add_(1, buckets, block * _signs(hashes >> (_SIGN_BITS - 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rademacher:
    """Each coordinate goes to every bucket with a hashed sign: the dense map of LESS, thousands of times the work."""

    dim: int
    seed: int

    def add(self, out: torch.Tensor, values: torch.Tensor, *, offset: int) -> None:
        words = self.dim // _SIGN_BITS
        shifts = torch.arange(_SIGN_BITS, dtype=torch.int32, device=values.device)
        for start in range(0, values.shape[1], DENSE_BLOCK_COORDINATES):
            block = values[:, start : start + DENSE_BLOCK_COORDINATES]
            keys = _hashes(offset + start, block.shape[1], seed=self.seed, device=values.device)
            lanes = _hashes(0, words, seed=self.seed ^ _LANE_SEED, device=values.device)
            bits = (_mix(keys[:, None] ^ lanes)[:, :, None] >> shifts) & 1
            out.addmm_(block, _signs(-bits).view(block.shape[1], self.dim), alpha=self.dim**-0.5)


def unit(rows: torch.Tensor) -> torch.Tensor:
    """Rows scaled to length 1; a zero row stays zero. [N, D]"""
    norms: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return rows / norms.clamp_min(torch.finfo(rows.dtype).tiny)


def _signs(minus: torch.Tensor) -> torch.Tensor:
    """-1 (int) -> -1.0 and 0 -> 1.0."""
    return minus.float().mul_(2).add_(1)


def _hashes(first: int, num: int, *, seed: int, device: torch.device) -> torch.Tensor:
    """32 mixed bits, as int32 [num], of each counter first, first + 1, ... under a seed."""
    assert first + num <= _MAX_COORDINATES, "counters are 32 bits wide"
    start = first - (_MAX_COORDINATES >> 1)
    counters = torch.arange(start, start + num, dtype=torch.int32, device=device)
    key = int(_mix(torch.tensor([seed & 0x7FFFFFFF], dtype=torch.int32)).item())
    return _mix(counters.bitwise_xor_(key))


def _mix(words: torch.Tensor) -> torch.Tensor:
    """A bijective mixer of 32-bit words, in place. Source: Wellons, hash-prospector, the `lowbias32` constants."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - (1 << 32))):
        words.bitwise_xor_((words >> shift).bitwise_and_((1 << (32 - shift)) - 1)).mul_(factor)
    return words.bitwise_xor_((words >> 16).bitwise_and_(0xFFFF))
