"""The record that runs through everything: one Arrow schema, seeded row hashes, completeness.

Knows nothing of files (see autodp_ray/records/forms/base.py) and nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from operators.rows.conversation import answers_by_call

TURN = pa.struct([pa.field("role", pa.string()), pa.field("content", pa.string())])
TURN_WITH_KEYS = pa.struct([*TURN, pa.field("extra", pa.string())])
"""The turns of a dataset that has tool calls or other keys beside role and content (operators/rows/conversation.py)."""
RECORD_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("history", pa.list_(TURN)),
        pa.field("question", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("origin", pa.string()),
    ]
)
RECORD_COLUMNS: tuple[str, ...] = tuple(RECORD_SCHEMA.names)
ORIGINS = ("source", "optimized", "generated")
_IDS_AT_ONCE = 65_536


def is_complete(table: pa.Table) -> pa.Array:
    """Boolean mask [N]: question and answer are present; an answer that calls a tool needs no text."""
    if "history" not in table.column_names:
        return has_texts(table)
    answered = pc.or_(pc.is_valid(table["answer"]).combine_chunks(), answers_by_call(table["history"].combine_chunks()))
    return pc.and_(pc.is_valid(table["question"]).combine_chunks(), answered)


def has_texts(table: pa.Table) -> pa.Array:
    """Boolean mask [N]: both question and answer have text."""
    return pc.and_(pc.is_valid(table["question"]), pc.is_valid(table["answer"])).combine_chunks()


def take_rows(table: pa.Table, rows: np.ndarray) -> pa.Table:
    """The rows at ascending places. Unlike `Table.take` it makes no one array of a column, which would end at 2 GiB."""
    if len(rows) == 0:
        return table.slice(0, 0)
    span = table.slice(rows[0], rows[-1] - rows[0] + 1)
    mask = np.zeros(span.num_rows, dtype=bool)
    mask[rows - rows[0]] = True
    return span.filter(pa.array(mask))


def id_array(ids: Sequence[str] | pa.Array) -> pa.Array:
    """Row ids as an array of texts, in which one takes little more than its bytes."""
    return ids if isinstance(ids, pa.Array) else pa.array(ids, pa.large_string())


def row_hashes(ids: Sequence[str] | pa.Array, *, seed: int, salt: str = "") -> np.ndarray:
    """Uniform 64-bit hash of (seed, salt, row id) as uint64 [N]; the only source of per-row randomness."""
    prefix = f"{seed}\x1f{salt}\x1f"
    texts = _texts(ids) if isinstance(ids, pa.Array) else ids
    return np.fromiter(
        (xxhash.xxh3_64_intdigest((prefix + row_id).encode()) for row_id in texts), dtype=np.uint64, count=len(ids)
    )


def _texts(ids: pa.Array) -> Iterator[str]:
    """One after another: all of them as Python's texts would take several times the room."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        yield from ids.slice(start, _IDS_AT_ONCE).to_pylist()


def hash_order(ids: Sequence[str], *, seed: int, salt: str) -> np.ndarray:
    """Positions [N] of the rows in the order of their hashes: a function of the ids alone, however long one is."""
    return np.lexsort([row_hashes(ids, seed=seed, salt=part) for part in (f"{salt}/ties", salt)])


def lowest_hash_complete(table: pa.Table, *, seed: int, k: int) -> pa.Table:
    """The k rows with both texts and the lowest hash of (seed, id): a dataset's few-shots, mergeable over batches.

    Taking the k lowest of the k lowest of each batch gives the k lowest of the whole.
    """
    complete = table.filter(has_texts(table))
    order = np.argsort(row_hashes(complete["id"].to_pylist(), seed=seed, salt="shots"), kind="stable")
    return complete.take(order[:k])
