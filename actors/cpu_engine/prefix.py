"""Remembers what prompts begin with, so that instructions and few-shots shared by many rows are computed once.

Holds token sequences and their keys and values; knows nothing of models or requests.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from actors.cpu_engine.kv import KeyValues, take_columns

MIN_SHARED = 48
"""Shorter common beginnings are not worth a pass of their own."""

Tokens = tuple[int, ...]


class PrefixCache:
    """The most recently used beginnings of prompts, bounded in tokens."""

    def __init__(self, *, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._entries: OrderedDict[Tokens, KeyValues] = OrderedDict()

    def put(self, tokens: Tokens, content: KeyValues) -> None:
        """Remembers one row's keys and values for `tokens`, forgetting the least recently used beyond the bound."""
        if len(tokens) > self._max_tokens:
            return
        self._entries[tokens] = take_columns(content, len(tokens))
        self._entries.move_to_end(tokens)
        while sum(map(len, self._entries)) > self._max_tokens:
            self._entries.popitem(last=False)

    def longest(self, tokens: Tokens) -> tuple[int, KeyValues | None]:
        """Length and content of the longest remembered beginning of `tokens`; (0, None) if too short to be of use."""
        if not self._entries:
            return 0, None
        best = max(self._entries, key=lambda entry: common_length(entry, tokens))
        length = common_length(best, tokens)
        if length < MIN_SHARED:
            return 0, None
        self._entries.move_to_end(best)
        return length, take_columns(self._entries[best], length)

    def knows(self, tokens: Tokens) -> bool:
        """Whether some remembered beginning covers at least MIN_SHARED of these tokens."""
        return any(common_length(entry, tokens[:MIN_SHARED]) == MIN_SHARED for entry in self._entries)


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences share at their beginning."""
    limit = min(len(first), len(second))
    return next((i for i in range(limit) if first[i] != second[i]), limit)


def shared_length(prompts: Sequence[Tokens]) -> int:
    """How many tokens all prompts share at their beginning, leaving each at least one of its own."""
    lowest, highest = min(prompts), max(prompts)  # in lexicographic order, the two that differ first
    return min(common_length(lowest, highest), min(map(len, prompts)) - 1)


def group_by_beginning(prompts: Iterable[Tokens], *, known: PrefixCache) -> list[list[int]]:
    """Indices of the prompts, those that begin alike together; prompts like no other form one group."""
    groups: dict[Tokens, list[int]] = {}
    texts = list(prompts)
    for index, prompt in enumerate(texts):
        groups.setdefault(prompt[:MIN_SHARED], []).append(index)
    alike = [members for members in groups.values() if len(members) > 1 or known.knows(texts[members[0]])]
    alone = [members[0] for members in groups.values() if len(members) == 1 and not known.knows(texts[members[0]])]
    return [*alike, alone] if alone else alike
