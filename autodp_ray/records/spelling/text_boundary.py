"""Takes a joined text apart again after it was changed: where does the part begin that came from a known text?

Exact where the known text still ends the whole. Otherwise words are aligned: of all places where the separator stands,
the one is taken behind which most words come from the known text, in its order, and fewest do not. Works for any
change that leaves most words of the part in their order (cleaning), not for a rewrite. Further separators there, which
cleaning leaves where it takes out tags, are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[^\s]")
"""A word, or a single character of a script without spaces or of punctuation."""
_MAX_WORK = 4_000_000_000
"""Pairs of words that are compared at most (64 at a time: about a second); longer texts are not aligned."""


def split_like(text: str, parts: Sequence[str], *, separator: str) -> list[str | None]:
    """As many texts as there are parts, which joined by the separator are the text; None for a part that cannot be
    told apart any more, whose text stands in the one before it, or of which nothing is left."""
    rest: str | None = text
    texts: list[str | None] = []
    for at in range(len(parts) - 1, 0, -1):
        before = separator.join(parts[:at])
        own = len(before) - len(before.rstrip(separator))
        found = None if rest is None else split_off(rest, parts[at], separator=separator, head_ends_with=own)
        rest, tail = (rest, None) if found is None else found
        texts.append(tail)
    return [rest, *reversed(texts)]


def split_off(text: str, known: str, *, separator: str, head_ends_with: int = 0) -> tuple[str | None, str] | None:
    """(head, tail) of a text, the tail being what became of the known text and the head None where nothing else is
    left; None where nothing became of it. `head_ends_with` is how many separators the head ended with."""
    if text.endswith(separator + known):
        return text[: -len(separator + known)], known
    if text == known:
        return None, known
    best_score, best = 0, None
    for gap, score in _tail_scores(text, known, separator):
        if score > best_score:
            best_score, best = score, gap
    if best is None:
        return None
    places = [at for at in range(*best) if text[at] == separator]
    if best[0] == 0 or not places:
        return None, text
    own = len(known) - len(known.lstrip(separator))
    cut = places[max(0, len(places) - 1 - own)]
    head = text[:cut].rstrip(separator)
    return head + separator * min(head_ends_with, cut - len(head)), text[cut + 1 :]


def _tail_scores(text: str, known: str, separator: str) -> Iterator[tuple[tuple[int, int], int]]:
    """(gap before a tail, words of the tail that come from the known text less those that do not), shortest tail first.

    The common words of a tail and the known text are their longest common subsequence, counted for all tails in one
    pass with one bit for each known word.
    Source: H. Hyyrö, Bit-parallel LCS-length computation revisited (2004).
    """
    words = _WORD.findall(known)
    places: dict[str, int] = {}
    for at, word in enumerate(reversed(words)):
        places[word] = places.get(word, 0) | (1 << at)
    full = (1 << len(words)) - 1
    unmatched = full
    found = list(_WORD.finditer(text))
    if not found or len(found) * len(words) > _MAX_WORK:
        return
    for num_words, (match, before) in enumerate(zip(reversed(found), [*reversed(found[:-1]), None], strict=True), 1):
        matches = unmatched & places.get(match.group(), 0)
        unmatched = ((unmatched + matches) | (unmatched - matches)) & full
        gap = (0 if before is None else before.end(), match.start())
        if before is None or separator in text[gap[0] : gap[1]]:
            yield gap, 2 * (len(words) - unmatched.bit_count()) - num_words
