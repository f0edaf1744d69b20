"""Finds the files that a dataset names: a file, folder, glob or URI, a package's corpus, a dataset of the hub."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pyarrow import fs

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.files.dataset_folders import QUARANTINED, kept_files
from autodp_ray.records.files.file_kinds import (
    FORMAT_SUFFIXES,
    accepted_suffixes,
    format_of_head,
    format_of_suffix,
    suffix_of,
)
from autodp_ray.records.files.hub_datasets import hub_folder, is_hub_dataset
from autodp_ray.records.files.source_files import READ_ERRORS, SourceFile
from autodp_ray.records.files.text_encoding import marked_encoding
from operators.contract.errors import InputError

PACKAGE_PREFIX = "pkg:"
REPLIES = "replies"
_WILDCARD = re.compile(r"[*?\[]")
_HEAD_BYTES = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFiles:
    """The files that are read, in path order and of one format; `left_out` says which others are not, and why."""

    files: list[SourceFile]
    left_out: list[str] = field(default_factory=list)


def find_files(config: DatasetConfig) -> list[SourceFile]:
    """The files of a dataset in path order, all of one format.

    Raises: InputError where nothing is there, files are empty, or the format is unknown or not one.
    """
    return find_all(config).files


def find_all(config: DatasetConfig) -> FoundFiles:
    """The files of a dataset, and what is left out of them.

    Raises: InputError as `find_files` does.
    """
    if config.path.startswith(PACKAGE_PREFIX):
        return FoundFiles(files=_package_files(config.path))
    is_hub = is_hub_dataset(config.path)
    path = hub_folder(config.path) if is_hub else config.path
    filesystem, root = _open(path)
    infos = _matching(filesystem, root, config.path)
    is_file = [info.path for info in infos] == [root]
    left_out: list[str] = []
    if not is_file:
        folder = _before_wildcard(root) if _WILDCARD.search(root) else root
        kept = kept_files(filesystem, folder, infos, split=config.split, is_hub=is_hub)
        named = "/." in root.removeprefix(folder) or root.endswith(QUARANTINED)
        infos, left_out = (infos, []) if named else (kept.infos, kept.left_out)
    return _chosen(config, filesystem, infos, left_out, is_named=is_file or _is_glob_of_format(config, root))


def would_read(path: str, file: str) -> bool:
    """Whether a dataset's path takes in a file, there or not, that its filesystem calls so."""
    if path.startswith(PACKAGE_PREFIX) or is_hub_dataset(path):
        return False
    root = _open(path)[1]
    if _WILDCARD.search(root):
        return _compiled(root, path).fullmatch(file) is not None
    return file == root or file.startswith(f"{root}/")


def _is_glob_of_format(config: DatasetConfig, root: str) -> bool:
    return config.format != "auto" and "*" in root


def _chosen(
    config: DatasetConfig,
    filesystem: fs.FileSystem,
    infos: Sequence[fs.FileInfo],
    left_out: list[str],
    *,
    is_named: bool,
) -> FoundFiles:
    path = config.path
    wanted = [info for info in infos if is_named or _is_wanted(info, config.format)]
    others = _others(infos, wanted)
    if not wanted:
        found = f"; found are {others}" if others else ""
        raise InputError(f"no data file in {path!r}: files that end in {accepted_suffixes()} are read{found}")
    filled = [info for info in wanted if info.size != 0]
    if not filled:
        raise InputError(f"{path!r} is empty: there is no row to read")
    formats = [_format_of(filesystem, info, config) for info in filled]
    if len(set(formats)) > 1:
        found = ", ".join(sorted(set(formats)))
        raise InputError(f"{path!r} holds files of several formats ({found}); name one with dataset.format")
    left_out = [*left_out, *([f"files that are no data ({others})"] if others else [])]
    left_out += [f"{len(wanted) - len(filled)} empty files"] if len(wanted) > len(filled) else []
    scheme = path.partition("://")[0] + "://" if "://" in path and not is_hub_dataset(path) else ""
    files = [
        SourceFile(
            filesystem=filesystem,
            path=info.path,
            label=scheme + info.path,
            format=kind,
            encoding=config.encoding,
            delimiter=None if config.delimiter == "auto" else config.delimiter,
            field=config.field,
        )
        for info, kind in zip(filled, formats, strict=True)
    ]
    return FoundFiles(files=files, left_out=left_out)


def _others(infos: Sequence[fs.FileInfo], wanted: Sequence[fs.FileInfo]) -> str:
    """Suffixes of the files that are not read, with their numbers."""
    paths = {info.path for info in wanted}
    suffixes = Counter(PurePosixPath(info.base_name).suffix or "no suffix" for info in infos if info.path not in paths)
    return ", ".join(f"{count} {suffix}" for suffix, count in sorted(suffixes.items()))


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
    wildcard = _WILDCARD.search(path)
    return path if wildcard is None else path[: path.rindex("/", 0, wildcard.start())]


def _matching(filesystem: fs.FileSystem, root: str, path: str) -> list[fs.FileInfo]:
    try:
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.File:
            return [info]
        if info.type == fs.FileType.Directory:
            return _walk(filesystem, root)
        if _WILDCARD.search(root):
            pattern = _compiled(root, path)
            return [found for found in _walk(filesystem, _before_wildcard(root)) if pattern.fullmatch(found.path)]
    except OSError as error:
        raise InputError(f"cannot read {path!r}: {error}") from error
    raise InputError(
        f"{path!r} does not exist; dataset.path takes a file, folder, glob, URI, pkg:NAME/FOLDER, "
        "or a dataset of the hub as hf://datasets/ORGANISATION/NAME"
    )


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
    suffix = suffix_of(info.base_name)
    if format_name == "auto":
        return format_of_suffix(suffix) not in (None, "yaml")
    return suffix in FORMAT_SUFFIXES[format_name] or (format_name == "jsonl" and suffix == ".json")


def _format_of(filesystem: fs.FileSystem, info: fs.FileInfo, config: DatasetConfig) -> str:
    if config.format != "auto":
        return config.format
    if config.field is not None:
        return "json"
    told = format_of_suffix(suffix_of(info.base_name))
    if told not in (None, "json", "jsonl", "yaml"):
        return str(told)
    found = format_of_head(_head(filesystem, info, told or "jsonl"), told)
    if found in ("json", "jsonl") or (found is not None and told is None):
        return found
    if told in ("json", "jsonl"):
        return "jsonl"
    raise InputError(
        f"cannot tell the format of {info.path!r}; files that end in {accepted_suffixes()} are read, "
        "or name one of jsonl, json, parquet, arrow, csv with dataset.format"
    )


def _head(filesystem: fs.FileSystem, info: fs.FileInfo, format_name: str) -> bytes:
    """The first bytes of a file, of UTF-16 as UTF-8."""
    file = SourceFile(filesystem=filesystem, path=info.path, label=str(info.path), format=format_name)
    try:
        head = bytes(file.open_bytes().read(_HEAD_BYTES))
    except READ_ERRORS as error:
        raise file.damaged(error) from None
    marked = marked_encoding(head)
    return head if marked is None else head.decode(marked, "replace").encode()


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
