"""Cuts a dataset's files into splits: ranges of large files, small files together. Reads no more than their heads.

JSON lines, arrays of JSON objects and CSV in UTF-8 are cut between bytes, Parquet between row groups, Arrow files
between record batches. What is compressed, in another encoding, or of another format is read whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from autodp_ray.records.files.byte_stream import Limited
from autodp_ray.records.files.file_kinds import compression_of
from autodp_ray.records.files.file_ranges import FileRange
from autodp_ray.records.files.source_files import READ_ERRORS, SourceFile
from autodp_ray.records.files.text_encoding import AUTO, is_utf8_name, marked_encoding
from autodp_ray.records.formats.json_stream import first_key_of_rows
from autodp_ray.records.formats.jsonl_lines import LineReader
from autodp_ray.records.formats.table_files import num_record_batches, row_group_bytes
from operators.contract.errors import InputError

MIN_SPLIT_BYTES, MAX_SPLIT_BYTES = 4 << 20, 64 << 20
WANTED_SPLITS = 64
"""Of an input whose splits are between the bounds, so that a few dozen workers have something to do."""
HEAD_BYTES = 1 << 20
"""In which the first object of JSON lines is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What one worker reads at a time: a range of one file, or several whole files."""

    index: int
    ranges: tuple[FileRange, ...]
    num_bytes: int
    limit: int | None = None
    """Rows to read at most; such a split is the only one."""


def plan_splits(
    files: Sequence[SourceFile], *, limit: int | None = None, split_bytes: int | None = None
) -> list[Split]:
    """The splits in the input's order; one where only so many rows are to be read."""
    sizes = file_sizes(files)
    if limit is not None:
        return [Split(index=0, ranges=tuple(FileRange(file=file) for file in files), num_bytes=sum(sizes), limit=limit)]
    wanted = split_bytes or min(MAX_SPLIT_BYTES, max(MIN_SPLIT_BYTES, sum(sizes) // WANTED_SPLITS))
    groups = _grouped(files, sizes, wanted)
    return [Split(index=at, ranges=ranges, num_bytes=size) for at, (ranges, size) in enumerate(groups)]


def file_sizes(files: Sequence[SourceFile]) -> list[int]:
    """Bytes of each file as it lies there."""
    infos = files[0].filesystem.get_file_info([file.path for file in files])
    return [info.size or 0 for info in infos]


def _grouped(
    files: Sequence[SourceFile], sizes: Sequence[int], wanted: int
) -> Iterator[tuple[tuple[FileRange, ...], int]]:
    together: list[FileRange] = []
    size_together = 0
    for file, size in zip(files, sizes, strict=True):
        if together and size_together + size > wanted:
            yield tuple(together), size_together
            together, size_together = [], 0
        if size <= wanted:
            together.append(FileRange(file=file))
            size_together += size
        else:
            yield from (((part,), part_size) for part, part_size in _ranges(file, size, wanted))
    if together:
        yield tuple(together), size_together


def _ranges(file: SourceFile, size: int, wanted: int) -> list[tuple[FileRange, int]]:
    """The ranges of a large file; the whole file where it cannot be cut, or cannot be read: its reader says why."""
    try:
        match file.format:
            case "jsonl" if _is_plain_utf8(file):
                return _byte_ranges(file, size, wanted, known=_first_keys(file))
            case "csv" if _is_plain_utf8(file):
                return _byte_ranges(file, size, wanted)
            case "json" if _is_plain_utf8(file) and file.field is None:
                if (key := first_key_of_rows(file.open_stream())) is not None:
                    return _byte_ranges(file, size, wanted, known=frozenset([key]), is_open=True)
            case "parquet":
                return _counted_ranges(file, row_group_bytes(file.open_file()), wanted)
            case "arrow":
                num = num_record_batches(file.open_file())
                return _counted_ranges(file, [size // max(1, num)] * num, wanted)
    except (InputError, *READ_ERRORS):
        pass
    return [(FileRange(file=file), size)]


def _is_plain_utf8(file: SourceFile) -> bool:
    """Whether the file's own bytes are UTF-8."""
    if compression_of(file.name) is not None:
        return False
    if file.encoding != AUTO:
        return is_utf8_name(file.encoding)
    return marked_encoding(bytes(file.opened_at(0).read(4))) is None


def _byte_ranges(
    file: SourceFile, size: int, wanted: int, *, known: frozenset[str] = frozenset(), is_open: bool = False
) -> list[tuple[FileRange, int]]:
    """Ranges of about equal size; `known` and `is_open` are what all but the first most likely begin with."""
    num = -(-size // wanted)
    bounds = [size * at // num for at in range(num + 1)]
    first = FileRange(file=file, stop=bounds[1], is_nominal=True)
    others = [
        FileRange(file=file, start=start, stop=stop, is_nominal=True, known=known, is_open=is_open)
        for start, stop in pairwise(bounds[1:])
    ]
    ranges = [first, *others]
    ranges[-1] = replace(ranges[-1], stop=None)
    return [(part, size // num) for part in ranges]


def _first_keys(file: SourceFile) -> frozenset[str]:
    """The keys of the first object, where it stands near the head: what the ranges behind it begin with."""
    reader = LineReader()
    for _ in reader.values(Limited(file.open_stream(), HEAD_BYTES), is_last=False):
        if reader.known:
            break
    return reader.known


def _counted_ranges(file: SourceFile, sizes: Sequence[int], wanted: int) -> list[tuple[FileRange, int]]:
    """Neighbouring row groups or record batches up to the wanted size."""
    found: list[tuple[FileRange, int]] = []
    start, held = 0, 0
    for at, size in enumerate(sizes):
        held += size
        if held >= wanted or at == len(sizes) - 1:
            stop = None if at == len(sizes) - 1 else at + 1
            found.append((FileRange(file=file, start=start, stop=stop), held))
            start, held = at + 1, 0
    return found or [(FileRange(file=file), 0)]
