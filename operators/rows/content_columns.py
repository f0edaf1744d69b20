"""Which columns beside the record carry content, and one number for what they say of each row.

A column carries content where the config names it (`dataset.content_columns`). With `auto`, its name and its cells
decide: names such as `context`, `tools` or `images` do, names of metadata such as `source`, `url`, `score`, `date` or
`id` do not, and under any other name those cells do that are no number, time, address or digest. A cell that the row's
question ends with, as it ends with Alpaca's input, adds nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import xxhash

from operators.contract.errors import InputError
from operators.rows.record import RECORD_COLUMNS
from operators.texts.normal_form import normalise
from operators.texts.text import MULTIPLIER, UInt64, scramble

ContentColumns = Literal["auto"] | tuple[str, ...]
"""`auto`, or the names of the columns that carry content."""

_CONTENT = """
context contexts input inputs passage passages document documents doc docs text texts tool tools function functions
calls image images picture pictures video videos audio audios media attachment attachments system prompt instruction
history choices options chosen rejected schema table tables code sql knowledge evidence
"""
_METADATA = """
id ids uid uuid guid key index idx no num number count row line hash md5 sha sha1 sha256 checksum digest date time
datetime timestamp ts created updated modified crawled published year month day at by source sources src origin url
urls uri link links href domain site host dataset corpus file filename path license licence author user username
annotator worker model generator engine provider version split subset fold batch shard score scores rating ratings
quality rank votes upvotes likes views length len tokens ppl perplexity logprob prob confidence reward weight loss
similarity difficulty level category categories tag tags topic topics type task lang language meta metadata status
flag flags 来源 链接 网址 时间 日期 编号 序号 分类 类别 科室 评分 分数 作者
"""
CONTENT_NAMES = frozenset(_CONTENT.split())
METADATA_NAMES = frozenset(_METADATA.split())
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+")
_NO_CONTENT = re.compile(
    r"[\d\s.,:+/T-]*\d[\d\s.,:+/TZ%-]*"  # numbers, dates, times
    r"|[a-z]+://\S+|www\.\S+|[^\s@]+@[^\s@]+\.\w+"  # addresses
    r"|[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|[0-9a-f]{32,}",
    re.IGNORECASE,
)
Carries = Literal["always", "by cell"]


def content_columns(schema: pa.Schema, chosen: ContentColumns = "auto") -> dict[str, Carries]:
    """The columns that carry content, and whether every cell of them does.

    Raises: InputError where a named column is not there.
    """
    further = [field for field in schema if field.name not in RECORD_COLUMNS and not field.name.startswith("_")]
    if chosen == "auto":
        return {field.name: carries for field in further if (carries := _carries(field)) is not None}
    names = {field.name for field in further}
    found: dict[str, Carries] = {}
    for name in chosen:
        column = name if name in names else f"source_{name}"
        if column not in names:
            raise InputError(
                f"dataset.content_columns names {name!r}, which no further column of the rows is called; name columns "
                "beside question, answer, history and id, or set dataset.content_columns: auto"
            )
        found[column] = "always"
    return found


def content_digests(table: pa.Table, questions: pa.Array, chosen: ContentColumns = "auto") -> UInt64:
    """One number a row for all its content columns together, uint64 [N]; a column that is missing or empty adds 0.

    `questions` are the rows' own, normalised.
    """
    digests = np.zeros(table.num_rows, dtype=np.uint64)
    columns = content_columns(table.schema, chosen)
    if not columns or not table.num_rows:
        return digests
    own = questions.fill_null("").to_pylist()
    for name, carries in columns.items():
        salt = np.uint64(xxhash.xxh3_64_intdigest(name.encode()))
        keys = _cell_keys(table[name].combine_chunks(), own, always=carries == "always")
        filled = keys != 0
        digests[filled] += scramble(keys[filled] * MULTIPLIER + salt)
    return digests


def _carries(field: pa.Field) -> Carries | None:
    if not _may_hold_text(field.type):
        return None
    words = [word.lower() for word in _WORD.findall(field.name)]
    if not words or words[-1] in METADATA_NAMES:
        return None
    if any(word in CONTENT_NAMES for word in words):
        return "always"
    return None if any(word in METADATA_NAMES for word in words) else "by cell"


def _may_hold_text(kind: pa.DataType) -> bool:
    """Whether it is no number, truth value or time: those are taken for metadata."""
    return not (
        pa.types.is_primitive(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)
    )


def _cell_keys(cells: pa.Array, own: Sequence[str], *, always: bool) -> UInt64:
    """A number for each cell [N]; 0 where it carries nothing."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type) or pa.types.is_string_view(cells.type):
        texts, raw = normalise(cells).to_pylist(), cells.to_pylist()
        known: dict[str, int] = {}
        keys = (_text_key(*cell, always=always, known=known) for cell in zip(texts, raw, own, strict=True))
        return np.fromiter(keys, dtype=np.uint64, count=len(cells))
    return np.fromiter((_value_key(value) for value in cells.to_pylist()), dtype=np.uint64, count=len(cells))


def _text_key(text: str | None, raw: str | None, own: str, *, always: bool, known: dict[str, int]) -> int:
    if not text or raw is None or own.endswith(text):
        return 0
    if (key := known.get(raw)) is None:
        if raw.lstrip()[:1] in ("[", "{"):
            key = _json_key(raw)
        elif not always and _NO_CONTENT.fullmatch(raw.strip()):
            key = 0
        else:
            key = _key(text)
        known[raw] = key
    return key


def _json_key(text: str) -> int:
    try:
        return _value_key(json.loads(text))
    except ValueError:
        return _key(text)


def _value_key(value: object) -> int:
    if value is None or value in ([], {}, ""):
        return 0
    return _key(canonical_json(value))


def canonical_json(value: object) -> str:
    """A nested value as text: keys in order, and without the ids that services give to tool calls."""
    return json.dumps(_without_ids(value), ensure_ascii=False, sort_keys=True, default=str)


def _without_ids(value: object) -> object:
    if isinstance(value, dict):
        is_call = "function" in value or {"name", "arguments"} <= value.keys()
        ids = ("id", "tool_call_id") if is_call else ("tool_call_id",)
        return {key: _without_ids(cell) for key, cell in value.items() if key not in ids}
    return [_without_ids(item) for item in value] if isinstance(value, list) else value


def _key(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) or 1
