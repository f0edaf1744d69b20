"""Surface features of rows: what damage does to a text whatever the text says.

Lengths, repetition, odd characters, markup, how a text begins and ends, of question and answer. One row's features
depend on that row alone. Knows no labels and no model; scripts without spaces are counted by characters.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.texts.text import JOINING, UNSPACED_RANGES, split_units

FEATURE_VERSION = 2
"""Changes when equal rows get other features."""

FIELD_FEATURES = (
    "length",
    "distinct_units",
    "distinct_trigrams",
    "special",
    "odd_characters",
    "invisible",
    "markup",
    "compressibility",
    "ending",
    "beginning",
)
PAIR_FEATURES = ("length_ratio", "shared_units", "shared_bigrams")
"""The shares say how much of the question comes back in the answer: a sign of belonging together that needs no model of
the language."""
FEATURE_NAMES = (*(f"{field}_{name}" for field in ("question", "answer") for name in FIELD_FEATURES), *PAIR_FEATURES)

_FIELD_SPREADS = (1.0, 0.15, 0.1, 0.03, 0.01, 0.005, 0.03, 0.15, 0.5, 0.5)
FEATURE_SPREADS = (*_FIELD_SPREADS, *_FIELD_SPREADS, 1.0, 0.25, 0.25)
"""The least spread that each feature is taken to have. Rows of one source may all end in a question mark; a row from
elsewhere that does not is no stranger for that."""

Matrix = npt.NDArray[np.float32]

_MAX_CHARS = 20_000
"""Of a longer field the beginning and the end are looked at: quality shows there, and time stays bounded."""
_UNSPACED = "".join(f"{chr(low)}-{chr(high)}" for low, high in UNSPACED_RANGES)
_MARKUP = re.compile(
    r"</?[A-Za-z][A-Za-z0-9:-]*(?:\s[^<>]{0,400})?/?>|<!--|<!\[CDATA\[|&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z]{2,31});"
    r"|[A-Za-z][A-Za-z0-9+.-]{1,15}://\S|(?<!\w)www\.\S|[\w.+-]+@[\w-]+\.\w"
)
_SPECIAL = re.compile(rf"""[^\w\s{JOINING}.,!?;:'"()\-‘’“”…。，、！？；：（）《》「」·—–%]""")
_ODD = re.compile(rf"[^\x00-\x7e‘’“”…–—·°×÷€£¥§±²³½¼¾\u3000-\u303f\uff00-\uffef{_UNSPACED}]")
"""Beyond ASCII, typographic punctuation and the unspaced scripts: where a misread encoding ends up, and accents too."""
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufffd]")
_END_MARKS = frozenset(".!?。！？…;；:：~")
_CLOSERS = "\"'’”）)]】》」 \n\t"


def surface_features(table: pa.Table) -> Matrix:
    """Features of each row, float32 [N, len(FEATURE_NAMES)]; a missing field counts as the empty text."""
    rows = zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True)
    made = [_row_features(question or "", answer or "") for question, answer in rows]
    return np.array(made, dtype=np.float32).reshape(len(made), len(FEATURE_NAMES))


def _row_features(question: str, answer: str) -> list[float]:
    asked, answered = _field_features(question), _field_features(answer)
    units, replied = split_units(question[:_MAX_CHARS]), split_units(answer[:_MAX_CHARS])
    shared = _shared(units, replied), _shared(list(pairwise(units)), list(pairwise(replied)))
    return [*asked, *answered, answered[0] - asked[0], *shared]


def _shared(asked: Sequence[Hashable], answered: Sequence[Hashable]) -> float:
    """Share of the distinct parts of a question that its answer has too."""
    wanted = set(asked)
    return len(wanted & set(answered)) / len(wanted) if wanted else 0.0


def _field_features(text: str) -> list[float]:
    """In the order of FIELD_FEATURES; ratios in [0, 1], but for markup: marks per unit."""
    if len(text) > _MAX_CHARS:
        text = text[: _MAX_CHARS // 2] + text[-_MAX_CHARS // 2 :]
    units = split_units(text)
    num_chars, num_units = max(len(text), 1), max(len(units), 1)
    return [
        float(np.log1p(len(text))),
        len(set(units)) / num_units,
        _distinct_trigrams(units),
        len(_SPECIAL.findall(text)) / num_chars,
        len(_ODD.findall(text)) / num_chars,
        len(_INVISIBLE.findall(text)) / num_chars,
        len(_MARKUP.findall(text)) / num_units,
        _compressibility(text),
        float(text.rstrip(_CLOSERS)[-1:] in _END_MARKS),
        float(text[:1].isupper() or not text[:1].isalpha() or text[:1].upper() == text[:1]),
    ]


def _distinct_trigrams(units: Sequence[str]) -> float:
    """Share of distinct three-unit windows; 1 for a text too short to repeat one."""
    windows = list(zip(units, units[1:], units[2:], strict=False))
    return len(set(windows)) / len(windows) if windows else 1.0


def _compressibility(text: str) -> float:
    """Compressed bytes per byte, less what a container costs a short text."""
    data = text.encode("utf-8", "replace")
    return min(1.0, max(0, len(zlib.compress(data, 6)) - 8) / len(data)) if data else 1.0
