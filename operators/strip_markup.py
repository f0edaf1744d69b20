"""Removes what a scraper left behind: tags, entities, control characters, mojibake, links.

Knows which fields hold text; what is taken out of a text is in `operators/markup.py` and `operators/mojibake.py`.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc

from operators import markup, mojibake
from operators.base import Needs, Operator, Resources, RowTransform, Scope, with_counts

_GATE = f"{mojibake.GATE_RE2}|{markup.GATE_RE2}"


class StripMarkup(Operator):
    """Cleans question, answer and the turns before them; a text with nothing to clean stays as it is, byte for byte.

    Counts changed texts as `stripped:FIELD`. A field that ends up empty becomes null, counted as `emptied:FIELD`, and
    waits for the generation team; an emptied turn of the history stays as an empty turn.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    scope: ClassVar[Scope] = Scope.ROW
    reads: ClassVar[tuple[str, ...]] = ("history", "question", "answer")
    writes: ClassVar[tuple[str, ...]] = ("history", "question", "answer")

    name: Literal["strip_markup"] = "strip_markup"
    links: bool = True
    """Whether URLs and e-mail addresses are noise; a link in Markdown keeps its label."""

    def build(self, resources: Resources) -> RowTransform:
        return self._strip_table

    def _strip_table(self, table: pa.Table) -> pa.Table:
        counts: dict[str, int] = {}
        for field in ("question", "answer"):
            texts = table[field].combine_chunks()
            cleaned = self._strip_texts(texts)
            if cleaned is None:
                continue
            emptied = pc.and_(pc.equal(cleaned, ""), pc.not_equal(texts, ""))
            counts[f"stripped:{field}"] = _num_different(texts, cleaned)
            counts[f"emptied:{field}"] = pc.sum(emptied).as_py() or 0
            index = table.schema.get_field_index(field)
            table = table.set_column(
                index, table.schema.field(index), pc.if_else(emptied, pa.scalar(None, texts.type), cleaned)
            )
        return with_counts(self._strip_history(table, counts), counts)

    def _strip_history(self, table: pa.Table, counts: dict[str, int]) -> pa.Table:
        index = table.schema.get_field_index("history")
        history = table["history"].combine_chunks()
        turns = history.flatten()
        texts = turns.field("content")
        cleaned = self._strip_texts(texts)
        if cleaned is None:
            return table
        counts["stripped:history"] = _num_different(texts, cleaned)
        counts["emptied:history"] = pc.sum(pc.and_(pc.equal(cleaned, ""), pc.not_equal(texts, ""))).as_py() or 0
        columns = [cleaned if field.name == "content" else turns.field(field.name) for field in turns.type]
        values = pa.StructArray.from_arrays(columns, fields=list(turns.type), mask=turns.is_null())
        lengths = pc.fill_null(pc.list_value_length(history), 0)
        offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
        rebuilt = pa.ListArray.from_arrays(offsets, values, type=history.type, mask=history.is_null())
        return table.set_column(index, table.schema.field(index), rebuilt)

    def _strip_texts(self, texts: pa.Array) -> pa.Array | None:
        """The cleaned texts, or None if no text changes."""
        suspects = pc.fill_null(pc.match_substring_regex(texts, _GATE), False)
        if not pc.any(suspects).as_py():
            return None
        before = texts.filter(suspects).to_pylist()
        after = [strip_text(text, links=self.links) for text in before]
        if after == before:
            return None
        return pc.replace_with_mask(texts, suspects, pa.array(after, texts.type))


def strip_text(text: str, *, links: bool = True) -> str:
    """The text cleaned until nothing changes, so that what an entity hid is cleaned too; every change shortens it."""
    while (cleaned := markup.strip(mojibake.repair(text), links=links)) != text:
        text = cleaned
    return text


def _num_different(before: pa.Array, after: pa.Array) -> int:
    return int(pc.sum(pc.not_equal(before, after)).as_py() or 0)
