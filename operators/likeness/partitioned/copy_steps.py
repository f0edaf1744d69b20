"""Exact copies, and incomplete rows that lack what another row has: both are rows with equal keys.

Each part sends the keys of its rows to the partition of their hash; the partition answers the rows that are concerned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from operators.contract.exchange import Inbox, Sent
from operators.likeness.partitioned.tables import HEADS, RowLayout, numbers, read, table_of
from operators.likeness.row_likeness import told_contexts, told_keys, told_systems
from operators.texts.text import MULTIPLIER, Int64, UInt64, scramble

COPIES, COPY_PAIRS, INCOMPLETE = "copies", "copy_pairs", "incomplete"
"""Rows with the first row that says the same, by part and all together; where in its part an incomplete row stands that
lacks what a complete one has."""
_KEYS, _FIELDS = "keys", "fields"
_QUESTION, _ANSWER = np.uint64(21), np.uint64(22)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountSystem:
    """How many rows of a part have one system prompt; the note is that number."""

    system: np.uint64
    reads: tuple[str, ...] = (HEADS,)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        heads = read(inbox, HEADS)
        return Sent(channels={}, note=0 if heads is None else int((numbers(heads, "systems") == self.system).sum()))


@dataclass(frozen=True, slots=True, kw_only=True)
class SendKeys:
    """Keys of a part's rows, and with incomplete rows in the dataset those of question and answer in their context."""

    layout: RowLayout
    common: UInt64
    """Keys of the system prompts that do not count."""
    has_incomplete: bool
    reads: tuple[str, ...] = (HEADS,)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        heads = read(inbox, HEADS)
        if heads is None:
            return Sent(channels={})
        rows = np.arange(heads.num_rows) + self.layout.starts[number]
        systems = told_systems(numbers(heads, "systems"), self.common)
        keys = told_keys(numbers(heads, "keys"), systems)
        filled = keys != 0
        sent = {"key": keys[filled], "row": rows[filled], "variant": numbers(heads, "variants")[filled]}
        channels = {_KEYS: self.layout.by_key(table_of(sent))}
        if self.has_incomplete:
            contexts = told_contexts(numbers(heads, "contexts"), systems)
            questions, answers = numbers(heads, "questions"), numbers(heads, "answers")
            complete = numbers(heads, "complete")
            found = [
                self._fields(salt, present, present_of & (complete | (missing == 0)), contexts, rows, ~complete)
                for salt, present, present_of, missing in (
                    (_QUESTION, questions, questions != 0, answers),
                    (_ANSWER, answers, answers != 0, questions),
                )
            ]
            columns = {name: np.concatenate([one[name] for one in found]) for name in found[0]}
            channels[_FIELDS] = self.layout.by_key(table_of(columns))
        return Sent(channels=channels)

    @staticmethod
    def _fields(
        salt: np.uint64, present: UInt64, sent: np.ndarray, contexts: UInt64, rows: Int64, asks: np.ndarray
    ) -> dict[str, np.ndarray]:
        keys = scramble(scramble(present + salt) * MULTIPLIER + contexts)
        return {"key": keys[sent], "row": rows[sent], "asks": asks[sent]}


@dataclass(frozen=True, slots=True, kw_only=True)
class FindCopies:
    """Of the rows with one key, the first of the lowest variant stands for the others.

    Whoever asks for a key is told that it is there.
    """

    layout: RowLayout
    reads: tuple[str, ...] = (_KEYS, _FIELDS)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        channels = {}
        if (found := read(inbox, _KEYS)) is not None:
            rows = numbers(found, "row")
            order = np.lexsort((rows, numbers(found, "variant"), keys := numbers(found, "key")))
            rows, keys = rows[order], keys[order]
            starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            firsts = np.repeat(rows[starts], np.diff(starts, append=len(rows)))
            copies = table_of({"row": rows[rows != firsts], "first": firsts[rows != firsts]})
            channels = {COPIES: self.layout.by_part(copies), COPY_PAIRS: {0: copies}}
        if (fields := read(inbox, _FIELDS)) is not None:
            asks, keys = numbers(fields, "asks"), numbers(fields, "key")
            answered = np.isin(keys[asks], keys[~asks])
            rows = np.unique(numbers(fields, "row")[asks][answered])
            channels[INCOMPLETE] = self.layout.by_place(rows)
        return Sent(channels=channels)
