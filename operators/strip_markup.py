"""Removes what a scraper left behind: tags, entities, page furniture, control characters, mojibake.

Knows which texts of a row may be touched and that a row's texts explain each other. What is taken out of a text is in
`operators/markup/removal.py`, `operators/markup/boilerplate.py` and `operators/texts/mojibake.py`; how a page is told
from a text that speaks of markup is in `operators/markup/evidence.py`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators.contract.counts import Transformed
from operators.contract.operator import Needs, RowOperator, RowTransform
from operators.contract.resources import Language, Resources
from operators.markup import boilerplate
from operators.markup import removal as markup
from operators.markup.row_cleaning import Cleaning, RowText, TextPlace, clean_texts
from operators.markup.tokens import MAX_OPENERS
from operators.rows.conversation import is_answer_place
from operators.texts import mojibake

_GATES = (mojibake.GATE_RE2, markup.GATE_RE2, boilerplate.SURE_RE2)
_EDGE = boilerplate.MAX_EDGE
_PARTS: Mapping[str, TextPlace] = {"system": "request", "user": "request", "assistant": "reply"}
_TOUCHED_ROLES = ("user", "assistant")
_CALL = re.compile(r'"(?:tool_calls|tool_call_id|function_call)"')


class StripMarkup(RowOperator):
    """Cleans question, answer and the turns before them; a text with nothing to clean stays as it is, byte for byte.

    Tags go where a text is scraped markup: where most of its tags enclose text, break lines or have the attributes of
    pages. They stay in code, JSON and XML, where prose speaks about them, where a text of the row speaks of markup or
    asks for it, and so do tags that HTML does not know: reasoning, tool calls, placeholders. Powers stay powers
    (`10^9`), deleted text is marked (`~~50~~`), code in `pre` is fenced. Turns of `system` and `tool`, of any role but
    `user` and `assistant`, and turns that hold a tool call are never touched.

    Counts changed texts as `stripped:FIELD`, and why: `removed:page`, `removed:inline`, `removed:entities`,
    `removed:boilerplate`, `repaired:characters`. Texts with tags that stay are counted as `left:asked_for`,
    `left:code`, `left:spoken_of`, `left:other_tags`, rows that never settle as `left:unsettled`. A field that ends up
    empty becomes null, counted as `emptied:FIELD`, and waits for the generation team; an emptied turn of the history
    stays as an empty turn.
    """

    version: ClassVar[int] = 4
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ("history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ("history", "question", "answer")

    name: Literal["strip_markup"] = "strip_markup"
    tags: markup.Tags = "scraped"
    """Which HTML goes: `scraped`, where a text is scraped markup by the rule above; `all`, wherever it is not code;
    `none`."""
    links: bool = True
    """Whether sentences at the beginning or end that only invite to follow a link go (`Read more at ...`); a link that
    is part of what a text says stays."""

    def summary(self, language: Language) -> str:
        if language == "en":
            what = [*(["markup"] if self.tags != "none" else []), *(["links"] if self.links else [])]
            return (
                f"takes {', '.join([*what, 'control characters'])} and broken encoding out of texts, meaning unchanged"
            )
        what = [*(["标签"] if self.tags != "none" else []), *(["链接"] if self.links else [])]
        return f"去掉文本中的{'、'.join([*what, '控制字符'])}和乱码，不改变原意"

    def build(self, resources: Resources) -> RowTransform:
        return self._strip_table

    def _strip_table(self, table: pa.Table) -> Transformed:
        history = table["history"].combine_chunks()
        rows = np.flatnonzero(_suspects(table, history))
        if not len(rows):
            return Transformed(table=table)
        counts: Counter[str] = Counter()
        changed: dict[int, Sequence[str | None]] = {}
        pairs: list[tuple[str | None, str | None]] = []
        cleaning = Cleaning(tags=self.tags, links=self.links)
        for number, row in zip(rows.tolist(), table.select(list(self.reads)).take(rows).to_pylist(), strict=True):
            texts, reasons = clean_texts(_texts_of(row), cleaning)
            counts.update(reasons)
            *turns, question, answer = [text.content for text in texts]
            pairs.append((question, answer))
            if turns:
                changed[number] = turns
        table = _with_field(table, "question", rows, [question for question, _ in pairs], counts)
        table = _with_field(table, "answer", rows, [answer for _, answer in pairs], counts)
        return Transformed(table=_with_history(table, history, changed, counts), counts=counts)


def strip_text(text: str, *, links: bool = True, tags: markup.Tags = "scraped") -> str:
    """One text cleaned for itself."""
    texts, _ = clean_texts([RowText(content=text, part="request")], Cleaning(tags=tags, links=links))
    return texts[0].content or ""


def _texts_of(row: Mapping[str, Any]) -> list[RowText]:
    """The turns of a row's history, then its question and answer."""
    turns: list[Mapping[str, str | None] | None] = row["history"] or []
    texts = [_text_of(turn) for turn in turns]
    calls = bool(turns and turns[-1] and is_answer_place(turns[-1]) and _holds_call(turns[-1]))
    question = RowText(content=row["question"], part="request")
    return [*texts, question, RowText(content=row["answer"], part="reply", fixed=calls)]


def _text_of(turn: Mapping[str, str | None] | None) -> RowText:
    if turn is None:
        return RowText(content=None, part="silent", fixed=True)
    role = turn["role"]
    part = _PARTS.get(role or "", "silent")
    return RowText(content=turn["content"], part=part, fixed=role not in _TOUCHED_ROLES or _holds_call(turn))


def _holds_call(turn: Mapping[str, str | None]) -> bool:
    """Whether a turn calls a tool or holds its result."""
    extra = turn.get("extra")
    return extra is not None and _CALL.search(extra) is not None


def _suspects(table: pa.Table, history: pa.ListArray) -> np.ndarray:
    """Mask [N] of the rows with a text that may change."""
    mask = np.zeros(table.num_rows, dtype=bool)
    for field in ("question", "answer"):
        mask |= _may_change(table[field].combine_chunks())
    turns = history.flatten()
    if len(turns):
        mask[history.value_parent_indices().to_numpy()[_may_change(turns.field("content"))]] = True
    return mask


def _may_change(texts: pa.Array) -> np.ndarray:
    """Mask [T] of the texts that cleaning may change, or whose tags it counts."""
    mask = _where(pc.greater(pc.binary_length(texts), MAX_OPENERS))
    for gate in _GATES:
        mask |= _matches(texts, gate)
    for link, invitation in boilerplate.INVITATIONS_RE2:
        linked = np.flatnonzero(_matches(texts, link))
        some = texts.take(linked)
        for edge in (pc.utf8_slice_codeunits(some, 0, _EDGE), pc.utf8_slice_codeunits(some, -_EDGE)):
            mask[linked] |= _matches(edge, link) & _matches(edge, invitation)
    return mask


def _matches(texts: pa.Array, pattern: str) -> np.ndarray:
    return _where(pc.match_substring_regex(texts, pattern))


def _where(mask: pa.Array) -> np.ndarray:
    found: np.ndarray = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return found


def _with_field(
    table: pa.Table, name: str, rows: np.ndarray, texts: Sequence[str | None], counts: Counter[str]
) -> pa.Table:
    """The table with the cleaned texts of some rows in one column; an emptied text becomes null."""
    index = table.schema.get_field_index(name)
    field = table.schema.field(index)
    before = table[name].combine_chunks()
    cleaned = pa.array(texts, field.type)
    differs = _where(pc.not_equal(before.take(rows), cleaned))
    if not differs.any():
        return table
    cleaned = cleaned.filter(pa.array(differs))
    is_empty = pc.equal(cleaned, "")
    counts[f"stripped:{name}"] += len(cleaned)
    counts[f"emptied:{name}"] += pc.sum(is_empty).as_py()
    mask = np.zeros(len(before), dtype=bool)
    mask[rows[differs]] = True
    column = pc.replace_with_mask(before, pa.array(mask), pc.if_else(is_empty, pa.scalar(None, field.type), cleaned))
    return table.set_column(index, field, pa.chunked_array([column]))


def _with_history(
    table: pa.Table, history: pa.ListArray, changed: Mapping[int, Sequence[str | None]], counts: Counter[str]
) -> pa.Table:
    """The table with other contents in the turns of some rows; everything else of a turn stays."""
    turns = history.flatten()
    before = turns.field("content")
    contents = before.to_pylist()
    lengths = pc.fill_null(pc.list_value_length(history), 0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    for row, texts in changed.items():
        contents[int(ends[row]) - len(texts) : int(ends[row])] = texts
    cleaned = pa.array(contents, before.type)
    differs = pc.fill_null(pc.not_equal(before, cleaned), False)
    counts["stripped:history"] = pc.sum(differs).as_py() or 0
    counts["emptied:history"] = pc.sum(pc.and_(differs, pc.equal(cleaned, ""))).as_py() or 0
    if not counts["stripped:history"]:
        return table
    columns = [cleaned if field.name == "content" else turns.field(field.name) for field in turns.type]
    values = pa.StructArray.from_arrays(columns, fields=list(turns.type), mask=turns.is_null())
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    rebuilt = pa.ListArray.from_arrays(offsets, values, type=history.type, mask=history.is_null())
    index = table.schema.get_field_index("history")
    return table.set_column(index, table.schema.field(index), rebuilt)
