"""Whether the first row of a CSV file surely holds names, which a message may repeat, or may be a row of data."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}|[\u3400-\u9fff]{1,6}")
_DIGIT = re.compile(r"\d")
_MAX_WORDS, _MAX_CHARS = 3, 32
_SAMPLE_ROWS = 100
_REPEATS = 5
"""How often the cells of a column stand there on average, so that one of them in its first row would come again."""


def surely_names(head: pa.Table) -> bool:
    """Whether the column names look like names, and each is told from the cells below it: a few short words could be
    either. Without a row there is nothing to tell them from."""
    if head.num_rows == 0:
        return False
    return all(
        _num_words(name) > 0 and _is_told_apart(name, head[name].slice(0, _SAMPLE_ROWS).drop_null().to_pylist())
        for name in head.column_names
    )


def _num_words(text: str) -> int:
    """Of a text that looks like a name, spaces around it aside; 0 for any other."""
    words = text.strip().split(" ")
    is_name = len(text) <= _MAX_CHARS and len(words) <= _MAX_WORDS and all(map(_WORD.fullmatch, words))
    return len(words) if is_name else 0


def _is_told_apart(name: str, cells: Sequence[str]) -> bool:
    """Whether most cells do not look like names of as few words, or the name is none of the few texts that the cells
    are, or lacks the digits that each of them has."""
    alike = sum(0 < _num_words(cell) <= _num_words(name) for cell in cells)
    if 2 * alike <= len(cells):
        return True
    if len(set(cells)) * _REPEATS <= len(cells):
        return name not in cells
    return _DIGIT.search(name) is None and all(map(_DIGIT.search, cells))
