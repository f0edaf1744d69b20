"""Groups of near-duplicates by datasketch: MinHash of word trigrams, LSH candidates, union-find.

As its documentation shows it: a candidate counts when the estimated Jaccard similarity reaches the threshold.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from datasketch import MinHash, MinHashLSH

_WORD = re.compile(r"\w+")
_SHINGLE = 3


def groups(texts: Sequence[str], *, threshold: float, num_perm: int) -> list[int]:
    """Group label of every text: the lowest row index of its group."""
    hashes = MinHash.bulk([_shingles(text) for text in texts], num_perm=num_perm)
    index = MinHashLSH(threshold=threshold, num_perm=num_perm)
    parents = list(range(len(texts)))
    for row, one in enumerate(hashes):
        for other in index.query(one):
            if one.jaccard(hashes[other]) >= threshold:
                left, right = sorted((_root(parents, row), _root(parents, other)))
                parents[right] = left
        index.insert(row, one)
    return [_root(parents, row) for row in range(len(texts))]


def _shingles(text: str) -> list[bytes]:
    words = _WORD.findall(text.casefold())
    return [" ".join(words[at : at + _SHINGLE]).encode() for at in range(max(1, len(words) - _SHINGLE + 1))]


def _root(parents: list[int], row: int) -> int:
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def main(given: Path, answer: Path) -> None:
    settings = json.loads(given.read_text())
    seconds, labels = [], []
    for _ in range(settings["runs"]):
        started = time.process_time()
        labels = groups(settings["texts"], threshold=settings["threshold"], num_perm=settings["num_perm"])
        seconds.append(time.process_time() - started)
    answer.write_text(json.dumps({"seconds": seconds, "labels": labels}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
