"""What an output is called: a file of the input's format, maybe compressed, or a folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from autodp_ray.records.files.file_kinds import (
    COMPRESSIONS,
    FORMAT_SUFFIXES,
    FormatName,
    compression_of,
    format_of_suffix,
    suffix_of,
)
from autodp_ray.records.spelling.layout import Layout
from operators.contract.errors import InputError

STEM = "data"
"""Of the files in a folder; they are numbered where there are several."""
_OWN_SUFFIXES = [*(FORMAT_SUFFIXES[name][0] for name in get_args(FormatName)), ".tsv"]
_OWN_NAME = re.compile(rf"{STEM}(-\d{{5,}})?({'|'.join(map(re.escape, _OWN_SUFFIXES))})")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputFile:
    """A file's name in parts; `suffix` has the compression's own at its end."""

    stem: str
    suffix: str
    compression: str | None = None
    """As pyarrow or `lzma` calls it (`gzip`, `xz`)."""


def own_suffix(layout: Layout) -> str:
    """The suffix of a file that nobody named."""
    return ".tsv" if layout.format == "csv" and layout.delimiter == "\t" else FORMAT_SUFFIXES[layout.format][0]


def is_own(name: str) -> bool:
    """Whether an output that is a folder may have a file of this name, whatever its format."""
    return _OWN_NAME.fullmatch(name) is not None


def names_a_file(name: str) -> bool:
    """Whether an output of this name is a file, by its suffix, and no folder."""
    return format_of_suffix(suffix_of(name)) not in (None, "yaml")


def stem_of(name: str) -> str:
    """A file's name without the suffixes of its format and compression."""
    return name[: len(name) - len(suffix_of(name) + (compression_of(name) or ""))]


def require_format(name: str, format_name: str, *, own: str | None = None) -> None:
    """Raises: InputError for the name of a file of another format than this one, in which rows came; `own` is how such
    a file is called."""
    if not names_a_file(name):
        return
    written = format_name if format_name in get_args(FormatName) else "jsonl"
    own = FORMAT_SUFFIXES[written][0] if own is None else own
    if format_of_suffix(suffix_of(name)) != written:
        raise InputError(
            f"--output {name} ends in {suffix_of(name)}, but rows keep the format that they came in: "
            f"end it in {own}, or name a folder"
        )
    if compression_of(name) is not None and written in ("parquet", "arrow"):
        raise InputError(f"--output {name}: {written} is not compressed as a whole; end it in {own}")


def output_file(name: str, layout: Layout) -> OutputFile | None:
    """The parts of a file's name; None for the name of a folder.

    Raises: InputError for the name of a file of another format, or of one that is not compressed as a whole.
    """
    if not names_a_file(name):
        return None
    require_format(name, layout.format, own=own_suffix(layout))
    packed, stem = compression_of(name), stem_of(name)
    return OutputFile(
        stem=stem,
        suffix=name[len(stem) :],
        compression=None if packed is None else COMPRESSIONS[packed],
    )
