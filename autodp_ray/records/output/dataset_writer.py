"""A stored dataset written as files of its source's format and form, by Ray's workers where there are some.

A folder gets one file, or several of a bounded size, each written by one worker; whoever goes on after a fault writes
those that are left. A single file of JSON lines is put together from pieces, be it named or all of a folder; one of any
other format is written here.
The bytes of one file are those that one writer writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from actors.data.many_jobs import ManyJobs, has_workers
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import Part, StoredDataset, read_checked
from actors.storage.storage import COPY_BYTES, Storage
from autodp_ray.records.files.atomic_file import AtomicFile
from autodp_ray.records.output.output_files import STEM, OutputFile, is_own, output_file, own_suffix
from autodp_ray.records.output.writer import RecordWriter, write_records
from autodp_ray.records.output.written_files import WrittenFiles
from autodp_ray.records.spelling.layout import Layout

PIECE_BYTES = 8 << 20
"""A worker writes parts of so many bytes together as one piece of a file; a smaller file is not worth the pieces."""


def write_dataset(dataset: StoredDataset, target: str, *, layout: Layout, pool: PoolConfig) -> list[str]:
    """Write all rows to `target`, a file where it ends in the format's suffix, else a folder; the files' locations.

    Each file appears when it is whole. A folder has `data.EXT`, or `data-00000.EXT` and on where the parts are larger
    than `pool.file_bytes` together; files of an earlier writing go, of whatever format, and so does what killed writers
    left.
    """
    folder, name = Storage.at(target).place()
    file = output_file(name, layout)
    if file is None:
        return _write_folder(dataset, Storage.at(target), layout, pool)
    if _comes_in_pieces(dataset, layout):
        written = [_joined(dataset, folder, file, layout, pool)]
    else:
        written = write_records(dataset.batches(), target, layout=layout)
    folder.delete_temporary_of(name)
    return written


def _comes_in_pieces(dataset: StoredDataset, layout: Layout) -> bool:
    """Whether a single file with all rows is the joint work of several workers."""
    num_bytes = sum(part.num_bytes for part in dataset.manifest.parts)
    return layout.format == "jsonl" and num_bytes > PIECE_BYTES and has_workers()


@dataclass(frozen=True, slots=True, kw_only=True)
class _WriteFile:
    """Writes some parts as one file, or finds that it is there; plain data that travels to workers."""

    source: Storage
    target: Storage
    layout: Layout
    known: WrittenFiles | None = None

    def __call__(self, job: tuple[str, Sequence[Part]]) -> str:
        stem, parts = job
        file = OutputFile(stem=stem, suffix=own_suffix(self.layout))
        name = f"{file.stem}{file.suffix}"
        if self.known is not None and self.known.has(name, parts):
            return self.target.uri(name)
        with RecordWriter(self.target, layout=self.layout, file=file) as writer:
            for part in parts:
                writer.write(read_checked(self.source, part.file, part.checksum))
        if self.known is not None:
            self.known.note(name, parts)
        return writer.files[0]


def _write_folder(dataset: StoredDataset, folder: Storage, layout: Layout, pool: PoolConfig) -> list[str]:
    groups = list(_groups(dataset.manifest.parts, pool.file_bytes))
    stems = [STEM] if len(groups) == 1 else [f"{STEM}-{index:05d}" for index in range(len(groups))]
    known = WrittenFiles(folder=folder, layout=layout)
    if len(groups) == 1 and _comes_in_pieces(dataset, layout):
        written = [_joined(dataset, folder, OutputFile(stem=STEM, suffix=own_suffix(layout)), layout, pool)]
    else:
        write = _WriteFile(source=dataset.folder, target=folder, layout=layout, known=known)
        jobs = list(zip(stems, groups, strict=True))
        written = list(ManyJobs(name="writing the output", pool=pool).run(jobs, write))
    kept = {f"{stem}{own_suffix(layout)}" for stem in stems}
    for name in folder.names():
        if is_own(name) and name not in kept:
            folder.delete(name)
    folder.delete_temporary_of(*kept)
    _pieces_of(folder, f"{STEM}{own_suffix(layout)}").delete()
    known.forget()
    return written


def _groups(parts: Sequence[Part], most_bytes: int) -> Iterator[list[Part]]:
    """Neighbouring parts up to so many bytes; one group where there is no part."""
    group: list[Part] = []
    held = 0
    for part in parts:
        if group and held + part.num_bytes > most_bytes:
            yield group
            group, held = [], 0
        group.append(part)
        held += part.num_bytes
    yield group


def _joined(dataset: StoredDataset, folder: Storage, file: OutputFile, layout: Layout, pool: PoolConfig) -> str:
    """The location of one file of JSON lines that workers wrote in pieces."""
    name = f"{file.stem}{file.suffix}"
    pieces = _pieces_of(folder, name)
    write = _WriteFile(source=dataset.folder, target=pieces, layout=layout)
    groups = _groups(dataset.manifest.parts, PIECE_BYTES)
    jobs = [(f"piece-{index:06d}", parts) for index, parts in enumerate(groups)]
    whole = AtomicFile(folder, name, compression=file.compression, meanwhile=pieces)
    try:
        written = ManyJobs(name="writing the output", pool=pool).run(jobs, write)
        for (stem, _), _ in zip(jobs, written, strict=True):
            piece = f"{stem}{own_suffix(layout)}"
            _append(pieces, piece, whole)
            pieces.delete(piece)
        whole.commit()
    except BaseException:
        whole.discard()
        raise
    finally:
        pieces.delete()
    return folder.uri(name)


def _pieces_of(folder: Storage, name: str) -> Storage:
    """Where the pieces of a file lie, those of killed writers too."""
    return folder.folder(f".{name}.pieces")


def _append(folder: Storage, name: str, whole: AtomicFile) -> None:
    with folder.filesystem.open_input_stream(folder.path(name)) as stream:
        while data := stream.read(COPY_BYTES):
            whole.write(data)
