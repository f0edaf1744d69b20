"""Finds the files that a dataset path names, and tells their format. Knows nothing of rows."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from operators.errors import InputError

FORMAT_SUFFIXES: dict[str, tuple[str, ...]] = {
    "jsonl": (".jsonl", ".ndjson"),
    "json": (".json",),
    "parquet": (".parquet", ".pq"),
    "arrow": (".arrow", ".feather", ".ipc"),
    "csv": (".csv",),
    "yaml": (".yml", ".yaml"),
}
TEXT_FORMATS = ("jsonl", "json", "csv", "yaml", "yaml_replies")
COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
PACKAGE_PREFIX = "pkg:"
REPLIES = "replies"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of the input. `label` is what messages and quarantine call it."""

    filesystem: fs.FileSystem
    path: str
    label: str
    format: str

    def open_stream(self) -> pa.NativeFile:
        """The bytes from the start; a known compression is undone."""
        return self.filesystem.open_input_stream(self.path, compression="detect")

    def open_file(self) -> pa.NativeFile:
        """The file for random access; memory-mapped where it is local."""
        if isinstance(self.filesystem, fs.LocalFileSystem):
            return pa.memory_map(self.path)
        return self.filesystem.open_input_file(self.path)


def find_files(path: str, *, format_name: str = "auto") -> list[SourceFile]:
    """The files of a dataset path in path order, all of one format.

    Raises: InputError where nothing is there, files are empty, or the format is unknown or not one.
    """
    if path.startswith(PACKAGE_PREFIX):
        return _package_files(path)
    filesystem, root = _open(path)
    infos = _matching(filesystem, root, path)
    chosen = [info.path for info in infos] == [root] or (format_name != "auto" and "*" in root)
    wanted = [info for info in infos if chosen or _is_wanted(info, format_name)]
    if not wanted:
        raise InputError(f"no data file in {path!r}: files that end in {_accepted_suffixes()} are read")
    filled = [info for info in wanted if info.size != 0]
    if not filled:
        raise InputError(f"{path!r} is empty: there is no row to read")
    formats = [format_name if format_name != "auto" else _format_of(filesystem, info) for info in filled]
    if len(set(formats)) > 1:
        found = ", ".join(sorted(set(formats)))
        raise InputError(f"{path!r} holds files of several formats ({found}); name one with dataset.format")
    scheme = path.partition("://")[0] + "://" if "://" in path else ""
    return [
        SourceFile(filesystem=filesystem, path=info.path, label=scheme + info.path, format=kind)
        for info, kind in zip(filled, formats, strict=True)
    ]


def _open(path: str) -> tuple[fs.FileSystem, str]:
    if "://" not in path:
        return fs.LocalFileSystem(), str(Path(path).expanduser().absolute())
    try:
        filesystem, root = fs.FileSystem.from_uri(_before_wildcard(path))
    except (ValueError, OSError) as error:
        raise InputError(f"cannot open {path!r}: {error}") from error
    return filesystem, root.rstrip("/") + path[len(_before_wildcard(path)) :]


def _before_wildcard(path: str) -> str:
    """The path up to the last slash before its first wildcard; the path itself where there is none."""
    wildcard = re.search(r"[*?\[]", path)
    return path if wildcard is None else path[: path.rindex("/", 0, wildcard.start())]


def _matching(filesystem: fs.FileSystem, root: str, path: str) -> list[fs.FileInfo]:
    try:
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.File:
            return [info]
        if info.type == fs.FileType.Directory:
            return _walk(filesystem, root)
        if re.search(r"[*?\[]", root):
            pattern = _compiled(root, path)
            return [found for found in _walk(filesystem, _before_wildcard(root)) if pattern.fullmatch(found.path)]
    except OSError as error:
        raise InputError(f"cannot read {path!r}: {error}") from error
    raise InputError(f"{path!r} does not exist; dataset.path takes a file, folder, glob, URI or pkg:NAME/FOLDER")


def _compiled(glob: str, path: str) -> re.Pattern[str]:
    try:
        return re.compile(_glob_pattern(glob))
    except re.error as error:
        raise InputError(f"{path[:200]!r} is no glob: {error.msg}; write a class of characters as in [a-z]") from None


def _walk(filesystem: fs.FileSystem, folder: str) -> list[fs.FileInfo]:
    selector = fs.FileSelector(folder or "/", recursive=True, allow_not_found=True)
    files = [info for info in filesystem.get_file_info(selector) if info.type == fs.FileType.File]
    return sorted(files, key=lambda info: str(info.path))


def _glob_pattern(glob: str) -> str:
    """A regular expression for a glob: `*` and `?` stay within a folder, `**` crosses folders."""
    spelled = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])", glob)
    return "".join(spelled.get(part) or (part if part.startswith("[") else re.escape(part)) for part in parts)


def _is_wanted(info: fs.FileInfo, format_name: str) -> bool:
    if info.base_name.startswith((".", "_")):
        return False
    suffix = _suffix(info.base_name)
    if format_name == "auto":
        return any(suffix in suffixes for kind, suffixes in FORMAT_SUFFIXES.items() if kind != "yaml")
    return suffix in FORMAT_SUFFIXES[format_name] or (format_name == "jsonl" and suffix == ".json")


def _suffix(name: str) -> str:
    path = Path(name.lower())
    return Path(path.stem).suffix if path.suffix in COMPRESSED else path.suffix


def _format_of(filesystem: fs.FileSystem, info: fs.FileInfo) -> str:
    suffix = _suffix(info.base_name)
    for kind, suffixes in FORMAT_SUFFIXES.items():
        if suffix in suffixes and kind not in ("json", "yaml"):
            return kind
    with filesystem.open_input_stream(info.path, compression="detect") as stream:
        head = bytes(stream.read(65536))
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return "json"
    if text.startswith(b"{"):
        return "jsonl" if text.split(b"\n", 1)[0].rstrip().endswith(b"}") else "json"
    if suffix == ".json":
        return "jsonl"
    raise InputError(
        f"cannot tell the format of {info.path!r}; files that end in {_accepted_suffixes()} are read, "
        "or name one of jsonl, json, parquet, arrow, csv with dataset.format"
    )


def _accepted_suffixes() -> str:
    return ", ".join(suffix for kind, suffixes in FORMAT_SUFFIXES.items() if kind != "yaml" for suffix in suffixes)


def _package_files(path: str) -> list[SourceFile]:
    """The YAML conversation files of an installed package: `pkg:NAME/FOLDER` is the folder `data/FOLDER` in it.

    `pkg:NAME/FOLDER#replies` reads every reply to an opening turn instead of the first one.
    """
    place, _, part = path.removeprefix(PACKAGE_PREFIX).partition("#")
    name, _, folder = place.partition("/")
    if part not in ("", REPLIES):
        raise InputError(f"{path!r}: after # only {REPLIES!r} is known, which reads every reply to an opening turn")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{path!r} needs the package {name!r}, which is not installed; pip install {name}")
    data = Path(spec.submodule_search_locations[0], "data")
    files = sorted(file for file in (data / folder).glob("*") if file.suffix in FORMAT_SUFFIXES["yaml"])
    if not folder or not files:
        known = ", ".join(sorted(child.name for child in data.glob("*") if child.is_dir())) or "none"
        raise InputError(f"{path!r} names no folder with conversations; {name} has {known}")
    local = fs.LocalFileSystem()
    kind = "yaml_replies" if part else "yaml"
    return [
        SourceFile(filesystem=local, path=str(file), label=f"{PACKAGE_PREFIX}{place}/{file.name}", format=kind)
        for file in files
    ]
