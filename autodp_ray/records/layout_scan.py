"""Finds a dataset's layout: one pass over JSON; of columnar files the schemas, and the columns that may hold turns."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

import pyarrow as pa

from actors.data.many_jobs import ManyJobs
from actors.data.pool_config import PoolConfig
from autodp_ray.records.columnar_schemas import UnitedSchemas, file_schema, head_of_csv, united_schemas
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.file_hints import joined_tables_hint, wrapped_rows_hint
from autodp_ray.records.files.source_files import SourceFile
from autodp_ray.records.formats.column_types import json_like, travelling_type
from autodp_ray.records.formats.csv_header import surely_names
from autodp_ray.records.formats.json_types import INTEGER, NULL, TEXT, WIDE
from autodp_ray.records.formats.raw_rows import RawBatch, RawRow, raw_batches
from autodp_ray.records.forms.detection import could_be_several, find_form, names_of_texts, new_evidence
from autodp_ray.records.forms.evidence import FormEvidence, is_text
from autodp_ray.records.json_scan import JsonScan
from autodp_ray.records.layout_passes import CountColumns, CountRows, HasEveryId
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.spelling.layout import ExtraColumn, FormKeys, Layout, encode_schema, free_column, record_schema
from autodp_ray.records.splits.plan import Split, plan_splits
from autodp_ray.records.splits.split_pass import over_splits
from operators.contract.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedInput:
    """A dataset's layout, and the splits in which it was looked at."""

    layout: Layout
    splits: list[Split]


def scan_layout(config: DatasetConfig) -> Layout:
    """The layout of the whole input, up to `config.limit` rows.

    Raises: InputError where nothing can be read or the form cannot be told.
    """
    return scan_input(config).layout


def scan_input(
    config: DatasetConfig, *, pool: PoolConfig | None = None, split_bytes: int | None = None
) -> ScannedInput:
    """The layout and the splits of the whole input, up to `config.limit` rows; looked at on Ray's workers where there
    are some and the input has several splits.

    Raises: InputError as `scan_layout` does.
    """
    config = resolved(config)
    files = find_files(config)
    splits = plan_splits(files, limit=config.limit, split_bytes=split_bytes)
    jobs = ManyJobs(name="scanning the dataset", pool=pool or PoolConfig())
    if files[0].format in ("csv", "parquet", "arrow"):
        return ScannedInput(layout=_columnar_layout(config, files, splits, jobs), splits=splits)
    return _scanned_json(config, files, splits, jobs)


def _scanned_json(config: DatasetConfig, files: list[SourceFile], splits: list[Split], jobs: ManyJobs) -> ScannedInput:
    head = _first_filled(raw_batches(files, limit=config.limit), config.path)
    evidence = new_evidence(config)
    scan = JsonScan(nulls=config.nulls, untyped=_turn_keys_of(head.rows or [], config, where=head.source))
    settled: list[Split] = []
    job = CountRows(evidence=evidence.of_a_part(), scan=scan.of_a_part())
    for done in over_splits(splits, job, jobs):
        settled.append(done.split)
        evidence.add_counts(done.value.evidence)
        scan.add_scan(done.value.scan)
    only = (head.rows or [{}])[0] if evidence.num_rows == 1 and config.field is None else {}
    hint = wrapped_rows_hint(only)
    keys = _found_form(evidence, config, where=config.path if len(files) > 1 else head.source, hint=hint)
    if hint is not None and isinstance(only.get(keys.question_key or ""), list | dict):
        raise InputError(f"cannot read {config.path!r} by rows: {hint}")
    id_is_filled = scan.types.get("id") in (INTEGER, WIDE, TEXT) and "id" not in scan.unfilled
    id_key = _id_key(config, keys, filled_in_all=id_is_filled)
    id_kinds = {INTEGER: "integer", WIDE: "integer", TEXT: "text"}
    id_type = scan.types.get(id_key, NULL) if id_key else TEXT
    extras = scan.extras(keys, taken={id_key} if id_key else set())
    missing, left_out = scan.spellings(keys)
    layout = Layout.model_validate(
        {
            **keys.model_dump(),
            "format": "json" if files[0].format == "json" else "jsonl",
            "role_map": config.roles,
            "id_key": id_key,
            "id_kind": id_kinds.get(id_type, "mixed"),
            "field": config.field,
            "missing": missing,
            "left_out": left_out,
            "nulls": config.nulls,
            "order": tuple(scan.order),
            "extras": tuple(extra for extra, _ in extras),
            "schema_ipc": encode_schema(record_schema(extras, has_turn_keys=keys.has_turn_keys)),
        }
    )
    return ScannedInput(layout=layout, splits=settled)


def _turn_keys_of(rows: list[RawRow], config: DatasetConfig, *, where: str) -> frozenset[str]:
    """The keys of turns as the first rows tell them; what the other rows say may be otherwise."""
    evidence = new_evidence(config)
    evidence.add_rows(rows)
    try:
        keys = find_form(evidence, config, where=where)
    except InputError:
        return frozenset()
    return frozenset(keys.nested_keys)


def _found_form(
    evidence: FormEvidence, config: DatasetConfig, *, where: str, hint: str | None, keys_may_be_cells: bool = False
) -> FormKeys:
    """The form; where none can be told, the hint is what to do."""
    try:
        return find_form(evidence, config, where=where, keys_may_be_cells=keys_may_be_cells)
    except InputError as error:
        if hint is None:
            raise
        raise InputError(f"{error}; {hint}") from error


def _first_filled(batches: Iterator[RawBatch], path: str) -> RawBatch:
    """The first batch with a row in it."""
    first_bad = None
    for batch in batches:
        if batch.num_rows:
            return batch
        first_bad = first_bad or next(iter(batch.bad), None)
    if first_bad is None:
        raise InputError(f"{path!r} holds no rows: there is nothing to process")
    raise InputError(
        f"no row of {path!r} can be read; the first fault is in {first_bad.source} line {first_bad.line}: "
        f"{first_bad.reason}; name the right dataset.format or mend the file"
    )


def _id_key(config: DatasetConfig, keys: FormKeys, *, filled_in_all: bool) -> str | None:
    if config.columns.id is not None:
        return config.columns.id
    if config.ids == "make" or "id" in keys.own:
        return None
    return "id" if filled_in_all else None


def _columnar_layout(config: DatasetConfig, files: list[SourceFile], splits: list[Split], jobs: ManyJobs) -> Layout:
    schemas = united_schemas(files)
    head = _first_filled(raw_batches(files, limit=config.limit), config.path)
    assert head.table is not None
    texts = _sure_texts(head.table, config)
    evidence = _columnar_evidence(config, splits, schemas, jobs, texts=texts)
    is_csv = files[0].format == "csv"
    where = config.path if len(files) > 1 else head.source
    may_be_cells = is_csv and not surely_names(head.table)
    hint = joined_tables_hint(schemas.fields)
    keys = _found_form(evidence, config, where=where, hint=hint, keys_may_be_cells=may_be_cells)
    for key in (keys.question_key, keys.answer_key, keys.system_key, keys.input_key):
        if key is not None and not is_text(schemas.fields[key]):
            raise InputError(f"the column {key!r} of {config.path!r} is {schemas.fields[key]}, not text")
    id_key = _id_key(config, keys, filled_in_all=_fills_ids(config, splits, schemas, jobs))
    extras: list[tuple[ExtraColumn, pa.DataType]] = []
    taken: set[str] = set()
    for key, kind in schemas.fields.items():
        if key != id_key and (key not in keys.own or key == keys.input_key):
            column = free_column(key, taken)
            taken.add(column)
            plain = travelling_type(kind)
            if key == keys.input_key or key in schemas.conflicts:
                plain = pa.string()
            extras.append((ExtraColumn(key=key, column=column, is_json=key in schemas.conflicts), plain))
    kinds = {key: _written_type(key, kind, keys, num_files=len(files)) for key, kind in schemas.fields.items()}
    is_integer = id_key is not None and pa.types.is_integer(schemas.fields[id_key])
    return Layout.model_validate(
        {
            **keys.model_dump(),
            "format": files[0].format,
            "role_map": config.roles,
            "id_key": id_key,
            "id_kind": "integer" if is_integer else "text",
            "delimiter": head_of_csv(files[0]).delimiter if is_csv else ",",
            "nested_as_text": any(is_text(schemas.fields[key]) for key in keys.nested_keys[:1]),
            "nulls": config.nulls,
            "order": tuple(schemas.fields),
            "extras": tuple(extra for extra, _ in extras),
            "schema_ipc": encode_schema(record_schema(extras, has_turn_keys=keys.has_turn_keys)),
            "source_schema_ipc": encode_schema(pa.schema(kinds)),
        }
    )


def _written_type(key: str, kind: pa.DataType, keys: FormKeys, *, num_files: int) -> pa.DataType:
    """The source's own type, but text where a question or an answer may be filled in, and a dictionary with room for
    the values of several files and for new texts."""
    may_be_filled = key in (keys.question_key, keys.answer_key, keys.reply_key)
    if pa.types.is_null(kind) and may_be_filled:
        return pa.string()
    if pa.types.is_dictionary(kind) and (may_be_filled or num_files > 1):
        return pa.dictionary(pa.int32(), kind.value_type, kind.ordered)
    return kind


def _columnar_evidence(
    config: DatasetConfig, splits: list[Split], schemas: UnitedSchemas, jobs: ManyJobs, *, texts: Set[str]
) -> FormEvidence:
    """Counts over the columns that a form may take; only turns are read where the names alone tell the form."""
    evidence = new_evidence(config)
    evidence.order.update(dict.fromkeys(schemas.fields))
    for key in evidence.nested & schemas.fields.keys():
        _require_json_like(key, schemas.fields[key], config.path)
    evidence.num_filled.update(key for key, kind in schemas.fields.items() if not is_text(kind))
    several = could_be_several(schemas.fields, texts=texts)
    wanted = evidence.candidates if several else evidence.nested - texts
    job = CountColumns(evidence=evidence.of_a_part(), wanted=wanted)
    for done in over_splits(splits, job, jobs):
        evidence.add_counts(done.value)
    return evidence


def _sure_texts(head: pa.Table, config: DatasetConfig) -> frozenset[str]:
    """Of the columns that may hold texts or turns, those in which the first rows have texts and no turns."""
    texts = [field.name for field in head.schema if field.name in names_of_texts() and is_text(field.type)]
    first = new_evidence(config)
    first.add_table(head.select(texts))
    return frozenset(key for key in texts if first.num_filled[key] and not first.turn_counts(key).keys)


def _require_json_like(key: str, kind: pa.DataType, path: str) -> None:
    try:
        json_like(kind)
    except ValueError as error:
        raise InputError(
            f"the column {key!r} of {path!r} holds {error} in its turns, which is not read; drop it or make it text"
        ) from error


def _fills_ids(config: DatasetConfig, splits: list[Split], schemas: UnitedSchemas, jobs: ManyJobs) -> bool:
    """Whether a column called `id` can serve as one: text or integers, in every row."""
    kind = schemas.fields.get("id")
    if kind is None or config.columns.id is not None or not (is_text(kind) or pa.types.is_integer(kind)):
        return False
    files = {part.file.path: part.file for split in splits for part in split.ranges}
    if any("id" not in file_schema(file).names for file in files.values()):
        return False
    passed = over_splits(splits, HasEveryId(), jobs)
    return all(done.value for done in passed)
