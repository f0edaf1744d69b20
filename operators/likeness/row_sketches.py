"""What the comparison of rows needs to know of each of them, from its own content alone.

A row's parts are its system prompt, the turns before the question, the question, the answer, the further keys of its
turns (tool calls, tool results' names, images), and its content columns (content_columns.py). The texts before the
answer are taken line by line, and a sentence that asks is a line, so that an instruction and its input, or a passage
and its question, are parts of their own. A part of few words counts whole; a longer one is known by its shingles and
its telling words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from operators.likeness.hashed_sets import HashedSets, merge_sets
from operators.likeness.near_duplicates import ROWS_PER_CHUNK, minhash
from operators.likeness.telling_words import counted_words, telling_words, word_bags
from operators.rows.content_columns import ContentColumns, canonical_json, content_digests
from operators.texts.normal_form import normalise
from operators.texts.text import (
    MULTIPLIER,
    Int64,
    UInt32,
    UInt64,
    Words,
    is_cut_by_words,
    num_spaces,
    scramble,
    shingle,
    text_keys,
)

LONG_WORDS = 20
LONG_CHARACTERS = 30
"""Of scripts without spaces between words. Shorter parts are equal or not: a changed word is too much of them."""
NUM_PERM = 128

_ASKING = r"([^.!?。！？\n]*[?？]+)"
_BEFORE_ANSWER = np.uint32(0x9E3779B9)
"""Keeps the shingles before the answer apart from the answer's, in one signature."""
_QUESTION, _ANSWER, _LONG, _COLUMNS = (np.uint64(number) for number in range(11, 15))

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSketches:
    """N rows. Keys are 0 where there is nothing."""

    keys: UInt64
    """Of everything that a row says but for its system prompt: equal for exact copies."""
    variants: UInt64
    """Of what exact copies may differ in and the rule looks at, such as capitals and ends of lines."""
    frames: UInt64
    """Of what near copies have in common: short parts, counted words of long ones, turns' keys, content columns."""
    systems: UInt64
    """Of the system prompt."""
    contexts: UInt64
    """Of everything but system prompt, question and answer."""
    questions: UInt64
    answers: UInt64
    signatures: UInt32
    """MinHash values of the shingles of all long parts [N, num_perm]."""
    before: HashedSets
    """Shingles of the long lines before the answer."""
    before_words: HashedSets
    answer: HashedSets
    """Shingles of a long answer."""
    answer_words: HashedSets
    """Its exchanged words."""
    lengths: Int64
    """Characters of question and answer [N]."""

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def row_bytes(self) -> Int64:
        """About what each row takes [N]."""
        sets = (self.before, self.before_words, self.answer, self.answer_words)
        sizes: Int64 = self.signatures.shape[1] + sum((part.sizes for part in sets), np.zeros(len(self), np.int64))
        return sizes * self.signatures.itemsize

    def take(self, rows: Int64) -> RowSketches:
        """Those of some rows, in the order given."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        taken: dict[str, Any] = {
            name: value.take(rows) if isinstance(value, HashedSets) else value[rows] for name, value in values.items()
        }
        return RowSketches(**taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Texts:
    """T texts, each of one of the N rows."""

    owners: Int64
    tags: UInt64
    """What each text is: its place, role and further keys [T]."""
    raw: pa.Array
    normalised: pa.Array

    def only(self, kept: Bool) -> _Texts:
        mask = pa.array(kept)
        return _Texts(
            owners=self.owners[kept],
            tags=self.tags[kept],
            raw=self.raw.filter(mask),
            normalised=self.normalised.filter(mask),
        )

    @property
    def keys(self) -> UInt64:
        return text_keys(self.raw, self.normalised)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Turns:
    """The history of N rows."""

    texts: _Texts
    """Without the system prompts."""
    systems: UInt64
    has_keys: Bool
    """The rows whose turns have further keys [N]."""


def sketch_rows(
    table: pa.Table, *, content: ContentColumns = "auto", num_perm: int = NUM_PERM, seed: int = 0
) -> RowSketches:
    """The sketches of a table's rows. Raises: InputError where a named content column is not there."""
    return merge_rows(list(sketch_pieces(table, content=content, num_perm=num_perm, seed=seed)))


def sketch_pieces(
    table: pa.Table, *, content: ContentColumns = "auto", num_perm: int = NUM_PERM, seed: int = 0
) -> Iterator[RowSketches]:
    """The same for some rows after the others; at least one piece."""
    for start in range(0, max(table.num_rows, 1), ROWS_PER_CHUNK):
        yield _sketch(table.slice(start, ROWS_PER_CHUNK), content, num_perm=num_perm, seed=seed)


def merge_rows(parts: Sequence[RowSketches]) -> RowSketches:
    """The sketches of several parts as those of one, in the order given."""
    joined: dict[str, Any] = {
        field.name: merge_sets([getattr(part, field.name) for part in parts])
        if isinstance(getattr(parts[0], field.name), HashedSets)
        else np.concatenate([getattr(part, field.name) for part in parts])
        for field in fields(RowSketches)
    }
    return RowSketches(**joined)


def sign(before: HashedSets, answer: HashedSets, *, num_perm: int, seed: int) -> UInt32:
    """MinHash signatures of both sets of each row together [N, num_perm]."""
    parts = ((before.values ^ _BEFORE_ANSWER, before.offsets), (answer.values, answer.offsets))
    first, second = (minhash(values, offsets, num_perm=num_perm, seed=seed) for values, offsets in parts)
    return np.minimum(first, second)


def _sketch(table: pa.Table, content: ContentColumns, *, num_perm: int, seed: int) -> RowSketches:
    question, answer = (_column(table, name, tag) for name, tag in (("question", _QUESTION), ("answer", _ANSWER)))
    turns = _turns(table["history"].combine_chunks())
    columns = scramble(content_digests(table, question.normalised, content) + _COLUMNS)
    frames, long_lines = _before_answer(turns.texts, question)
    is_cut = is_cut_by_words(answer.normalised.fill_null(""))
    is_long = _is_long(answer.normalised, is_cut)
    long_answer, raw_long_answer = (_blank_but(texts, is_long) for texts in (answer.normalised, answer.raw))
    lines_words, answer_words = Words.of(long_lines), Words.of(long_answer, are_units=is_cut & is_long)
    told = telling_words(raw_long_answer, long_answer, answer_words)
    questions, answers = question.keys, answer.keys
    frames += scramble(counted_words(long_lines, lines_words) + _QUESTION)
    frames += columns + scramble(told.counted + _ANSWER)
    frames += scramble(np.where(is_long, _LONG, answers) * MULTIPLIER + _ANSWER)
    contexts = columns.copy()
    _add(contexts, turns.texts.owners, turns.texts.tags + turns.texts.keys * MULTIPLIER)
    is_empty = (questions == 0) & (answers == 0) & ~turns.has_keys
    keys = scramble(scramble(contexts * MULTIPLIER + questions) * MULTIPLIER + answers) | np.uint64(1)
    shingled = shingle(long_lines, lines_words), shingle(long_answer, answer_words)
    before, after = (HashedSets(values=values, offsets=offsets) for values, offsets in shingled)
    before_words = word_bags(long_lines, lines_words)
    return RowSketches(
        keys=np.where(is_empty, np.uint64(0), keys),
        variants=scramble(frames + before_words.keys * MULTIPLIER) + told.exchanged.keys,
        frames=frames,
        systems=turns.systems,
        contexts=contexts,
        questions=questions,
        answers=answers,
        signatures=sign(before, after, num_perm=num_perm, seed=seed),
        before=before,
        before_words=before_words,
        answer=after,
        answer_words=told.exchanged,
        lengths=_num_characters(question) + _num_characters(answer),
    )


def _column(table: pa.Table, name: str, tag: np.uint64) -> _Texts:
    raw = table[name].combine_chunks().cast(pa.large_string())
    owners = np.arange(len(raw), dtype=np.int64)
    return _Texts(owners=owners, tags=np.full(len(raw), tag), raw=raw, normalised=normalise(raw))


def _turns(history: pa.Array) -> _Turns:
    lengths = pc.fill_null(pc.list_value_length(history), 0).to_numpy(zero_copy_only=False)
    owners = np.repeat(np.arange(len(history), dtype=np.int64), lengths)
    turns = history.flatten()
    extra = turns.field("extra") if turns.type.get_field_index("extra") >= 0 else pa.nulls(len(turns), pa.string())
    keys = _extra_keys(extra)
    raw = turns.field("content").cast(pa.large_string())
    texts = _Texts(owners=owners, tags=_role_keys(turns.field("role")) + keys, raw=raw, normalised=normalise(raw))
    is_system = pc.fill_null(pc.equal(turns.field("role"), "system"), False).to_numpy(zero_copy_only=False)
    systems = np.zeros(len(history), dtype=np.uint64)
    prompts = texts.only(is_system)
    _add(systems, prompts.owners, prompts.keys)
    has_keys = np.zeros(len(history), dtype=bool)
    has_keys[owners[keys != 0]] = True
    others = texts.only(~is_system)
    starts = np.searchsorted(others.owners, others.owners)
    places = (np.arange(len(others.owners)) - starts).astype(np.uint64)
    return _Turns(
        texts=replace(others, tags=scramble(others.tags + scramble(places))), systems=systems, has_keys=has_keys
    )


def _role_keys(roles: pa.Array) -> UInt64:
    encoded = pc.dictionary_encode(roles.fill_null(""))
    known = np.array([xxhash.xxh3_64_intdigest(role.encode()) for role in encoded.dictionary.to_pylist()], np.uint64)
    return known[encoded.indices.to_numpy()] if len(known) else known


def _extra_keys(extra: pa.Array) -> UInt64:
    """A number for the further keys of each turn [T], 0 where it has none; ids of calls do not count."""
    keys = np.zeros(len(extra), dtype=np.uint64)
    known: dict[str, int] = {}
    for place in np.flatnonzero(extra.is_valid().to_numpy(zero_copy_only=False)).tolist():
        text = extra[place].as_py()
        if text not in known:
            known[text] = xxhash.xxh3_64_intdigest(canonical_json(json.loads(text)).encode("utf-8", "surrogatepass"))
        keys[place] = known[text]
    return keys


def _before_answer(turns: _Texts, question: _Texts) -> tuple[UInt64, pa.Array]:
    """What turns and questions add to the frames [N], and the long lines of each row as one text."""
    num_rows = len(question.owners)
    texts = _Texts(
        owners=np.concatenate([turns.owners, question.owners]),
        tags=np.concatenate([turns.tags, question.tags]),
        raw=pa.concat_arrays([turns.raw, question.raw]),
        normalised=pa.concat_arrays([turns.normalised, question.normalised]),
    )
    lines = _lines(texts)
    is_long = _is_long(lines.normalised)
    short, long = lines.only(~is_long), lines.only(is_long)
    frames = np.zeros(num_rows, dtype=np.uint64)
    _add(frames, texts.owners, texts.tags)
    _add(frames, short.owners, short.tags + short.keys * MULTIPLIER)
    _add(frames, long.owners, long.tags + _LONG)
    return frames, _by_row(long, num_rows)


def _lines(texts: _Texts) -> _Texts:
    """The lines of the texts that say something, in order; in a long text a sentence that asks is a line of its own."""
    has_several = pc.fill_null(pc.match_substring(texts.raw, "\n"), False).to_numpy(zero_copy_only=False).copy()
    asks = pc.fill_null(pc.match_substring_regex(texts.raw, "[?？]"), False).to_numpy(zero_copy_only=False)
    may_ask = np.flatnonzero(asks & ~has_several)
    has_several[may_ask] = _is_long(texts.normalised.take(pa.array(may_ask)))
    if not has_several.any():
        return texts
    several, single = texts.only(has_several), texts.only(~has_several)
    split = pc.split_pattern(pc.replace_substring_regex(several.raw, _ASKING, "\n\\1\n"), "\n")
    sizes = pc.list_value_length(split).to_numpy(zero_copy_only=False)
    raw = split.flatten()
    places = np.concatenate([np.repeat(np.flatnonzero(has_several), sizes), np.flatnonzero(~has_several)])
    lines = _Texts(
        owners=texts.owners[places],
        tags=texts.tags[places],
        raw=pa.concat_arrays([raw, single.raw]),
        normalised=pa.concat_arrays([normalise(raw), single.normalised]),
    )
    order = np.argsort(places, kind="stable")
    in_order = pa.array(order)
    lines = _Texts(
        owners=lines.owners[order],
        tags=lines.tags[order],
        raw=lines.raw.take(in_order),
        normalised=lines.normalised.take(in_order),
    )
    return lines.only(pc.greater(pc.fill_null(pc.binary_length(lines.normalised), 0), 0).to_numpy(zero_copy_only=False))


def _by_row(lines: _Texts, num_rows: int) -> pa.Array:
    """The lines of each row as one text, "" where there is none."""
    order = np.argsort(lines.owners, kind="stable")
    offsets = np.searchsorted(lines.owners[order], np.arange(num_rows + 1))
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), lines.normalised.take(pa.array(order)))
    return pc.binary_join(lists, pa.scalar(" ", pa.large_string()))


def _is_long(normalised: pa.Array, is_cut: Bool | None = None) -> Bool:
    """Mask of the texts of which a few words may change; `is_cut` is what `is_cut_by_words` says of them."""
    texts = normalised.fill_null("")
    is_cut = is_cut_by_words(texts) if is_cut is None else is_cut
    spaces = num_spaces(texts)
    characters = pc.utf8_length(texts).to_numpy(zero_copy_only=False) - spaces
    long: Bool = np.where(is_cut, spaces + 1 >= LONG_WORDS, characters >= LONG_CHARACTERS)
    return long


def _blank_but(texts: pa.Array, kept: Bool) -> pa.Array:
    return pc.if_else(pa.array(kept), texts.fill_null(""), "")


def _num_characters(texts: _Texts) -> Int64:
    lengths: Int64 = pc.fill_null(pc.utf8_length(texts.normalised), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return lengths


def _add(totals: UInt64, rows: Int64, values: UInt64) -> None:
    """Adds to each row's total, whatever the order of its values."""
    np.add.at(totals, rows, scramble(values))
