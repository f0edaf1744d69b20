"""What files are called and what they begin with: formats, compressions, and what is no data file, with what to do."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

FormatName = Literal["jsonl", "json", "parquet", "arrow", "csv"]
FORMAT_SUFFIXES: dict[str, tuple[str, ...]] = {
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather", ".ipc"),
    "csv": (".csv", ".tsv"),
    "yaml": (".yml", ".yaml"),
}
TEXT_FORMATS = ("jsonl", "json", "csv", "yaml", "yaml_replies")
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4", ".xz": "xz"}
"""By the suffix that stands behind the format's own."""

_COMPRESSED_HEADS = {
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"\x04\x22\x4d\x18": ".lz4",
    b"\xfd7zXZ\x00": ".xz",
}
_FOREIGN_HEADS: tuple[tuple[bytes, str, str], ...] = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Word file", "save the sheet as CSV (UTF-8)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it and name what was in it"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it and name what was in it"),
    (b"%PDF-", "a PDF", "extract questions and answers into JSONL first"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV"),
    (b"\x93NUMPY", "a NumPy file", "write the rows as JSONL"),
    (b"\x89HDF", "an HDF5 file", "write the rows as Parquet"),
    (b"\x80\x02", "a Python pickle", "load it where you trust it and write the rows as JSONL"),
    (b"\x80\x03", "a Python pickle", "load it where you trust it and write the rows as JSONL"),
    (b"\x80\x04", "a Python pickle", "load it where you trust it and write the rows as JSONL"),
    (b"\x80\x05", "a Python pickle", "load it where you trust it and write the rows as JSONL"),
    (b"Obj\x01", "an Avro file", "write the rows as Parquet"),
    (b"version https://git-lfs", "a Git LFS pointer and not the file itself", "run git lfs pull in its repository"),
)
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html|\?xml)", re.IGNORECASE)
_ZIP = b"PK\x03\x04"
_IN_ZIP = (
    (b"xl/", "an Excel workbook", "save the sheet as CSV (UTF-8)"),
    (b"word/", "a Word document", "extract questions and answers into JSONL first"),
    (b"[Content_Types].xml", "an Excel workbook or another Office file", "save the sheet as CSV (UTF-8)"),
)


def suffix_of(name: str) -> str:
    """The suffix that tells the format, in lower case: what stands before a compression's own."""
    path = PurePath(name.lower())
    return PurePath(path.stem).suffix if path.suffix in COMPRESSIONS else path.suffix


def compression_of(name: str) -> str | None:
    """The compression that a name tells, by its suffix (`.gz`)."""
    suffix = PurePath(name.lower()).suffix
    return suffix if suffix in COMPRESSIONS else None


def format_of_suffix(suffix: str) -> str | None:
    return next((kind for kind, suffixes in FORMAT_SUFFIXES.items() if suffix in suffixes), None)


def accepted_suffixes() -> str:
    return ", ".join(suffix for kind, suffixes in FORMAT_SUFFIXES.items() if kind != "yaml" for suffix in suffixes)


def why_unreadable(name: str, head: bytes, format_name: str) -> str | None:
    """What a file is and what to do, where its first bytes say that it is not what its name or format says."""
    told = compression_of(name)
    found = next((suffix for magic, suffix in _COMPRESSED_HEADS.items() if head.startswith(magic)), None)
    if found is not None and found != told and not (told is None and format_name in ("parquet", "arrow")):
        plain = name[: -len(told)] if told else name
        return (
            f"is compressed ({COMPRESSIONS[found]}) although its name does not say so; "
            f"rename it to end in {suffix_of(plain)}{found}"
        )
    if told is not None:
        return None if found is not None or not head else f"is not compressed although it ends in {told}; rename it"
    foreign = _foreign_kind(head)
    if foreign is not None:
        return f"is {foreign[0]}; {foreign[1]}"
    real = _table_format(head)
    if real is not None and real != format_name:
        return f"is {real.capitalize()} although it is taken for {format_name}; set dataset.format={real}"
    return None


def _table_format(head: bytes) -> str | None:
    if head.startswith(b"PAR1"):
        return "parquet"
    return "arrow" if head.startswith((b"ARROW1\x00", b"\xff\xff\xff\xff")) else None


def _foreign_kind(head: bytes) -> tuple[str, str] | None:
    if head.startswith(_ZIP):
        inside = next(((name, advice) for part, name, advice in _IN_ZIP if part in head), None)
        return inside or ("a zip archive", "unpack it and name what was in it")
    if head[257:262] == b"ustar":
        return "a tar archive", "unpack it and name what was in it"
    if _WEB_PAGE.match(head):
        return "a web page or XML and no data", "download the file itself: the server may want a login"
    return next(((name, advice) for magic, name, advice in _FOREIGN_HEADS if head.startswith(magic)), None)


def format_of_head(head: bytes, told: str | None) -> str | None:
    """The format that the first bytes of a file tell (its compression undone), or what its name tells where they are
    the beginning of one long line, or of a line that is broken."""
    table = _table_format(head)
    if table is not None:
        return table
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        line, _, rest = text.partition(b"\n")
        end, following = line.rstrip().rstrip(b",")[-1:], rest.lstrip()[:1]
        is_broken_line = told == "jsonl" and following in (b"", b"{") and end not in (b"[", b":", b"{")
        return "jsonl" if end == b"}" or is_broken_line else "json"
    return None
