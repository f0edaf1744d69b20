"""A dataset on disk: a folder of Arrow IPC parts and a manifest that names them.

The manifest is written last and only if every part is there, so a folder with a manifest is whole. It holds the row
count, the content hash, a checksum per part and the counts by reason of the operators that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError

from actors.storage.storage import Storage
from operators.contract.errors import RunError
from operators.rows.content_hash import ContentHash, content_hash
from operators.rows.record import RECORD_SCHEMA

MANIFEST = "manifest.json"
FORMAT_VERSION = 2


class Part(BaseModel):
    """One Arrow IPC file of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    num_rows: int
    num_bytes: int
    content_hash: str
    checksum: str
    """xxh3 of the file's bytes: it guards against damage, not against intent, and keeps up with a disk."""


class Manifest(BaseModel):
    """What a stored dataset holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    num_rows: int
    content_hash: str
    parts: tuple[Part, ...]
    counts: Mapping[str, int] = {}


def write_part(folder: Storage, index: int, table: pa.Table) -> Part:
    """Write one part atomically; a retried task overwrites its own part with the same rows."""
    return write_part_file(folder, f"part-{index:06d}.arrow", table)


def write_part_file(folder: Storage, name: str, table: pa.Table) -> Part:
    """Write one part atomically under a name; the order of names is that of the parts."""
    plain = table.replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, plain.schema) as writer:
        writer.write_table(plain)
    data = sink.getvalue()
    folder.write_bytes(name, data)
    return Part(
        file=name,
        num_rows=plain.num_rows,
        num_bytes=len(data),
        content_hash=str(content_hash(plain)),
        checksum=xxhash.xxh3_128_hexdigest(data),
    )


def write_manifest(folder: Storage, parts: Iterable[Part], counts: Mapping[str, int]) -> StoredDataset:
    """Close a dataset whose parts are all written."""
    ordered = tuple(sorted(parts, key=lambda part: part.file))
    total = sum((ContentHash.parse(part.content_hash) for part in ordered), ContentHash())
    manifest = Manifest(
        num_rows=total.num_rows, content_hash=str(total), parts=ordered, counts=dict(sorted(counts.items()))
    )
    folder.write_text(MANIFEST, manifest.model_dump_json(indent=2))
    return StoredDataset(folder=folder, manifest=manifest)


class StoredDataset(BaseModel):
    """A whole dataset on disk, by its folder and manifest. Plain data: it crosses processes."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    folder: Storage
    manifest: Manifest

    @classmethod
    def open(cls, folder: Storage) -> StoredDataset | None:
        """The dataset in a folder, or None where no manifest closes it.

        Raises: RunError where the manifest is there but cannot be read.
        """
        if not folder.exists(MANIFEST):
            return None
        try:
            manifest = Manifest.model_validate_json(folder.read_bytes(MANIFEST))
        except ValidationError as error:
            raise RunError(f"{folder.uri(MANIFEST)} is damaged: {error.error_count()} faults in it") from error
        return cls(folder=folder, manifest=manifest)

    @classmethod
    def write(
        cls, folder: Storage, batches: Iterable[pa.Table], counts: Mapping[str, int] | None = None
    ) -> StoredDataset:
        """Write tables as parts, one each, streaming."""
        parts = [write_part(folder, index, batch) for index, batch in enumerate(batches)]
        return write_manifest(folder, parts, counts or {})

    @property
    def num_rows(self) -> int:
        return self.manifest.num_rows

    @property
    def content_hash(self) -> str:
        return self.manifest.content_hash

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The parts one after another, out of the very bytes that were checked; memory holds one at a time.

        Raises: RunError as `verify` does.
        """
        for part in self.manifest.parts:
            table = read_checked(self.folder, part.file, part.checksum)
            yield table if columns is None else table.select(columns)

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """The whole dataset as one table, checked: for samples, whose size the config bounds."""
        if not self.manifest.parts:
            empty = RECORD_SCHEMA.empty_table()
            return empty if columns is None else empty.select(columns)
        return pa.concat_tables(list(self.batches(columns)), promote_options="default")

    def rows_for_workers(self) -> pa.Table | tuple[str, ...]:
        """The paths of the parts where they lie on a local disk, else the rows: what a worker is handed, checked.

        Raises: RunError as `verify` does.
        """
        if self.folder.is_local:
            self.verify()
            return tuple(self.folder.path(part.file) for part in self.manifest.parts)
        return self.read()

    def verify(self) -> None:
        """Read every part and compare it with the manifest.

        Raises: RunError that names the part that is gone or whose bytes are not those that were written.
        """
        for part in self.manifest.parts:
            read_checked(self.folder, part.file, part.checksum)


def is_there(folder: Storage, part: Part) -> bool:
    """Whether a part's file is there and its bytes are those that were written."""
    try:
        return xxhash.xxh3_128_hexdigest(folder.read_buffer(part.file)) == part.checksum
    except OSError:  # an empty file cannot be mapped
        return False


def read_checked(folder: Storage, file: str, checksum: str) -> pa.Table:
    """A part's rows, out of the very bytes that were compared with its checksum.

    Raises: RunError where the part is gone or its bytes are not those that were written.
    """
    try:
        data = folder.read_buffer(file)
    except FileNotFoundError:
        raise RunError(f"{folder.uri(file)} is gone, but the manifest names it") from None
    if xxhash.xxh3_128_hexdigest(data) != checksum:
        raise RunError(f"{folder.uri(file)} is damaged: its checksum differs from the manifest's")
    return pa.ipc.open_file(pa.BufferReader(data)).read_all()
