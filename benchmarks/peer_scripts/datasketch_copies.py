"""datasketch's MinHash and LSH, as its documentation shows them, and union-find.

A candidate counts when the estimated Jaccard similarity reaches the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence

from datasketch import MinHash, MinHashLSH

from benchmarks.peer_scripts.measured import Row, Settings, Work, main, text_of
from benchmarks.peer_scripts.shingles import shingles


def build(settings: Settings) -> Work:
    def work(rows: Sequence[Row]) -> Sequence[int]:
        sets = [[one.encode() for one in shingles(text_of(row), settings.language)] for row in rows]
        hashes = MinHash.bulk(sets, num_perm=settings.num_perm)
        index = MinHashLSH(threshold=settings.threshold, num_perm=settings.num_perm)
        parents = list(range(len(rows)))
        for row, one in enumerate(hashes):
            for other in index.query(one):
                if one.jaccard(hashes[other]) >= settings.threshold:
                    left, right = sorted((_root(parents, row), _root(parents, other)))
                    parents[right] = left
            index.insert(row, one)
        return [row for row in range(len(rows)) if _root(parents, row) == row]

    return work


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


if __name__ == "__main__":
    main(build)
