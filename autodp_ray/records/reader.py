"""Datasets as a stream of record tables: bounded memory, bad rows set aside, ids given or made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.formats.raw_rows import BadRow, RawBatch, raw_batches
from autodp_ray.records.forms.all_forms import form_named
from autodp_ray.records.forms.decoding import Decoded, Notes
from autodp_ray.records.forms.row_spelling import Residue
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.row_ids import SeenHashes, content_digests, hashed_columns, id_hashes, numbered
from autodp_ray.records.spelling.layout import Layout
from autodp_ray.records.spelling.raw_columns import RawColumns, typed_columns, unicode_faults, without_rows
from operators.contract.errors import InputError
from operators.rows.conversation import answers_by_call

EMPTY_ROW = "empty row"
_ID = re.compile(r"[A-Za-z0-9_.:/-]{1,40}")


def read_records(
    config: DatasetConfig, *, on_quarantine: Callable[[BadRow], None], layout: Layout | None = None
) -> Iterator[pa.Table]:
    """The dataset's rows as tables of `layout.schema`, at most 4,096 rows each, in the input's order.

    Memory holds one batch and eight bytes per row for the ids. A row that cannot become a record goes to
    `on_quarantine`. `layout` is what `scan_layout` found; without it the input is scanned first.

    Raises: InputError where no row can be read or given ids are not unique.
    """
    config = resolved(config)
    layout = layout or scan_layout(config)
    files = find_files(config)
    seen = SeenHashes()
    good = 0
    first_bad = FirstBad(on_quarantine)
    for table, kept in record_batches(raw_batches(files, limit=config.limit), layout, on_quarantine=first_bad):
        good += table.num_rows
        yield _with_unique_ids(table, kept, config, layout, seen)
    require_rows(good, first_bad.row, config, layout)


def _with_unique_ids(
    table: pa.Table, kept: RawBatch, config: DatasetConfig, layout: Layout, seen: SeenHashes
) -> pa.Table:
    ids = table["id"].to_pylist()
    ranks = seen.occurrences(id_hashes(ids)[:, 0])
    if layout.id_key is not None:
        _refuse_repeated_ids(ids, np.flatnonzero(ranks), kept, config, layout)
    elif ranks.any():
        return with_ids(table, [numbered(row_id, rank) for row_id, rank in zip(ids, ranks.tolist(), strict=True)])
    return table


def record_batches(
    batches: Iterable[RawBatch], layout: Layout, *, on_quarantine: Callable[[BadRow], None]
) -> Iterator[tuple[pa.Table, RawBatch]]:
    """(record table, the raw rows it stands for) where there are some. Made ids are those of the rows' content, one
    for all exact copies; given ids may be repeated."""
    for batch in batches:
        table, kept, bad = batch_records(batch, layout)
        for row in sorted([*batch.bad, *bad], key=lambda row: row.line):
            on_quarantine(row)
        if table.num_rows:
            yield table, kept


class FirstBad:
    """Hands bad rows on and keeps the first one."""

    def __init__(self, on_quarantine: Callable[[BadRow], None]) -> None:
        self._on_quarantine = on_quarantine
        self.row: BadRow | None = None

    def __call__(self, row: BadRow) -> None:
        self.row = self.row or row
        self._on_quarantine(row)


def require_rows(num_good: int, first_bad: BadRow | None, config: DatasetConfig, layout: Layout) -> None:
    """Raises: InputError where no row became a record."""
    if num_good == 0 and first_bad is None:
        raise InputError(f"{config.path!r} holds no rows: there is nothing to process")
    if num_good == 0 and first_bad is not None:
        raise InputError(
            f"no row of {config.path!r} can be read as {layout.form}; the first fault is in {first_bad.source} "
            f"line {first_bad.line}: {first_bad.reason}; check dataset.form and dataset.columns"
        )


def batch_records(batch: RawBatch, layout: Layout) -> tuple[pa.Table, RawBatch, list[BadRow]]:
    """(record table, the raw rows it stands for, bad rows) of one raw batch."""
    try:
        raw, kept, bad = typed_columns(batch, layout)
        decoded = _decode(raw, layout)
    except UnicodeEncodeError:
        clean, broken = without_rows(batch, unicode_faults(batch))
        table, kept, bad = batch_records(clean, layout)
        return table, kept, [*broken, *bad]
    faults = dict(decoded.faults)
    unanswered = pc.and_not(pc.is_null(decoded.answer), answers_by_call(decoded.history))
    empty = pc.and_(pc.is_null(decoded.question), unanswered)
    for index, is_empty in enumerate(empty.to_pylist()):
        if is_empty:
            faults.setdefault(index, EMPTY_ROW)
    table = pa.table(
        [
            pa.nulls(raw.num_rows, pa.string()),
            decoded.history,
            decoded.question,
            decoded.answer,
            pa.repeat(pa.scalar("source", pa.string()), raw.num_rows),
            *raw.extras.values(),
            _residues(decoded.residues, raw, layout),
        ],
        schema=_nullable_ids(layout.schema),
    )
    if faults:
        kept, more = without_rows(kept, faults)
        table = table.filter(pa.array([index not in faults for index in range(raw.num_rows)], pa.bool_()))
        raw_ids = None if raw.ids is None else [row for index, row in enumerate(raw.ids) if index not in faults]
        bad = [*bad, *more]
    else:
        raw_ids = raw.ids
    return _with_own_ids(table, raw_ids, layout), kept, bad


def _decode(raw: RawColumns, layout: Layout) -> Decoded:
    """The records of raw columns, read in the dataset's form; what extra columns leave out is noted too."""
    decoded = form_named(layout.form).decode(raw, layout)
    notes = Notes(raw=raw, layout=layout, residues=decoded.residues)
    for extra in layout.extras:
        column = raw.extras[extra.column]
        if raw.absent.get(extra.key) or (column.null_count and extra.key in layout.left_out):
            notes.missing(extra.key, column, pc.is_null(column))
    return decoded


def _nullable_ids(schema: pa.Schema) -> pa.Schema:
    return schema.set(0, schema.field("id").with_nullable(True))


def _with_own_ids(table: pa.Table, given: list[object] | None, layout: Layout) -> pa.Table:
    if given is not None:
        return with_ids(table, [str(value) for value in given], layout.schema.field("id"))
    names = hashed_columns([extra.column for extra in layout.extras])
    digests = content_digests([(name, table[name].combine_chunks()) for name in names])
    return with_ids(table, digests, layout.schema.field("id"))


def with_ids(table: pa.Table, ids: Sequence[str], field: pa.Field | None = None) -> pa.Table:
    """The table with other ids."""
    return table.set_column(0, field or table.schema.field("id"), pa.array(ids, pa.string()))


def _residues(residues: dict[int, Residue], raw: RawColumns, layout: Layout) -> pa.Array:
    if layout.id_kind == "mixed":
        for index, value in enumerate(raw.ids or ()):
            if not isinstance(value, str):
                residues.setdefault(index, Residue()).spelled[str(layout.id_key)] = value
    if not residues:
        return pa.nulls(raw.num_rows, pa.string())
    texts = [residues[index].as_text() if index in residues else None for index in range(raw.num_rows)]
    return pa.array(texts, pa.string())


def _refuse_repeated_ids(
    ids: Sequence[str], again: np.ndarray, kept: RawBatch, config: DatasetConfig, layout: Layout
) -> None:
    for index in again.tolist():
        place = (kept.source, kept.lines[index])
        before = _first_place(ids[index], config, layout)
        if before != place:
            raise repeated_id(ids[index], before, place)


def repeated_id(row_id: str, first: tuple[str, int], second: tuple[str, int]) -> InputError:
    """What to say of an id that two rows have, by their files and lines."""
    return InputError(
        f"two rows have the id {_shown_id(row_id)}: {first[0]} line {first[1]} and {second[0]} line {second[1]}; "
        "make the ids unique, or set dataset.ids: make to have them made from the rows"
    )


def _first_place(row_id: str, config: DatasetConfig, layout: Layout) -> tuple[str, int]:
    """Source and line of the first row with an id: the row itself where only the hashes are equal."""
    for batch in raw_batches(find_files(config), limit=config.limit):
        raw, kept, _ = typed_columns(batch, layout)
        for index, value in enumerate(raw.ids or ()):
            if str(value) == row_id:
                return kept.source, kept.lines[index]
    raise InputError(f"the input changed while it was read: the id {_shown_id(row_id)} is gone")


def _shown_id(row_id: str) -> str:
    """An id for a message, where it looks like one and not like a text."""
    return repr(row_id) if _ID.fullmatch(row_id) else "of the same text (not shown)"
