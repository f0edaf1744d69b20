"""One bit of each MinHash value: enough to see that most rows that share a band by chance are not alike.

The more rows there are, the more share a band by chance, and the longer the bands of each. What no row can be alike to
by these bits need not be sent anywhere to be compared.
"""

from __future__ import annotations

import numpy as np

from operators.likeness.pair_joiner import Bool, least_estimate
from operators.texts.text import Int64, UInt32, UInt64

_WORD_BITS = 64


def signature_bits(signatures: UInt32) -> UInt64:
    """The lowest bit of each MinHash value [N, num_perm], packed [N, num_perm / 64, rounded up]."""
    num_rows, num_perm = signatures.shape
    bits = np.zeros((num_rows, -(-num_perm // _WORD_BITS) * _WORD_BITS), dtype=np.uint8)
    bits[:, :num_perm] = signatures & np.uint32(1)
    packed: UInt64 = np.packbits(bits, axis=1).view(np.uint64)
    return packed


def max_unlike_bits(threshold: float, num_perm: int) -> int:
    """In how many bits a pair may differ that `PairJoiner` compares: where bits differ, so do MinHash values."""
    return int(np.floor(num_perm * (1 - least_estimate(threshold, num_perm)) + 1e-9))


def may_be_joined(bits: UInt64, groups: Int64, buckets: UInt64, *, max_unlike: int) -> Bool:
    """Mask of the members, sorted by bucket, whose bucket holds one of another group that they may be alike to."""
    found = np.zeros(len(buckets), dtype=bool)
    members, distance = np.arange(len(buckets)), 0
    while len(members):  # those with another one of their bucket so far behind them
        distance += 1
        members = members[members < len(buckets) - distance]
        members = members[buckets[members] == buckets[members + distance]]
        apart = members[groups[members] != groups[members + distance]]
        unlike = np.bitwise_count(bits[apart] ^ bits[apart + distance]).sum(axis=1)
        likely = apart[unlike <= max_unlike]
        found[likely] = found[likely + distance] = True
    return found
