"""What of a folder is the dataset: no hidden files, one revision of a snapshot, what `save_to_disk` lists, a split."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pyarrow import fs

from operators.contract.errors import InputError

STATE = "state.json"
SPLITS = "dataset_dict.json"
INFO = "dataset_info.json"
QUARANTINED = ".quarantine.jsonl"
"""What the file of the rows that could not be read ends in, behind the name of an output that is a file."""
_SNAPSHOT = re.compile(r"^(.*?)(?:^|/)snapshots/([0-9a-f]{40})/")
_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_WORD = re.compile(r"[a-z]+")
_HIDDEN = (".", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptFiles:
    """The files to choose from, and what was left out, in words."""

    infos: list[fs.FileInfo]
    left_out: list[str]


def kept_files(
    filesystem: fs.FileSystem, root: str, infos: Sequence[fs.FileInfo], *, split: str | None, is_hub: bool
) -> KeptFiles:
    """What belongs to the dataset in the folder `root`.

    Raises: InputError where there are several snapshots or splits and none is named.
    """
    kept = [info for info in infos if not _is_hidden(_below(info, root))]
    left_out = _said(len(infos) - len(kept), "hidden files or files in hidden folders")
    whole = len(kept)
    kept = [info for info in kept if not info.base_name.endswith(QUARANTINED)]
    left_out += _said(whole - len(kept), "files of quarantined rows")
    whole = len(kept)
    kept = _one_snapshot(filesystem, kept)
    left_out += _said(whole - len(kept), "files of other snapshots than the one in refs/main")
    saved = {str(PurePosixPath(info.path).parent) for info in kept if info.base_name == STATE}
    if saved:
        listed = _listed_files(filesystem, sorted(saved))
        whole = len(kept)
        kept = [info for info in kept if info.path in listed]
        left_out += _said(whole - len(kept), "files that state.json does not list")
        return KeptFiles(infos=_of_folder_split(kept, sorted(saved), root, split), left_out=left_out)
    caches = [info for info in kept if re.fullmatch(r"(?:cache|tmp)-?\w+\.arrow", info.base_name)]
    if any(info.base_name == INFO for info in kept):
        kept = [info for info in kept if info not in caches and info.base_name != INFO]
        left_out += _said(len(caches), "cache files of datasets")
    if split is not None or is_hub:
        kept = _of_named_split(kept, root, split)
    return KeptFiles(infos=kept, left_out=left_out)


def _below(info: fs.FileInfo, root: str) -> str:
    return str(info.path).removeprefix(root).lstrip("/")


def _is_hidden(path: str) -> bool:
    return any(part.startswith(_HIDDEN) for part in path.split("/"))


def _said(count: int, what: str) -> list[str]:
    return [f"{count} {what}"] if count else []


def _one_snapshot(filesystem: fs.FileSystem, infos: list[fs.FileInfo]) -> list[fs.FileInfo]:
    """Of each repository in the hub's cache the revision that its refs/main names."""
    revisions: dict[str, set[str]] = {}
    places = [_SNAPSHOT.match(str(info.path)) for info in infos]
    for place in places:
        if place is not None:
            revisions.setdefault(place.group(1), set()).add(place.group(2))
    chosen = {
        repository: _main_revision(filesystem, repository, found) if len(found) > 1 else next(iter(found))
        for repository, found in revisions.items()
    }
    return [
        info
        for info, place in zip(infos, places, strict=True)
        if place is None or chosen[place.group(1)] == place.group(2)
    ]


def _main_revision(filesystem: fs.FileSystem, repository: str, found: set[str]) -> str:
    try:
        with filesystem.open_input_stream(f"{repository}/refs/main") as stream:
            main = bytes(stream.read()).decode("ascii", "replace").strip()
    except OSError:
        main = ""
    if main not in found:
        known = ", ".join(sorted(found))
        raise InputError(f"{repository} holds several snapshots ({known}), which repeat rows; name the folder of one")
    return main


def _listed_files(filesystem: fs.FileSystem, folders: Sequence[str]) -> set[str]:
    """The data files that the state.json of each folder lists."""
    listed: set[str] = set()
    for folder in folders:
        path = f"{folder}/{STATE}"
        try:
            with filesystem.open_input_stream(path) as stream:
                state = json.loads(bytes(stream.read()))
            names = [file["filename"] for file in state["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{path} does not list the files of a dataset that save_to_disk wrote") from None
        if state.get("_indices_data_files"):
            raise InputError(f"{folder} holds a dataset with an index over its rows; save it anew with save_to_disk")
        listed.update(f"{folder}/{name}" for name in names)
    return listed


def _of_folder_split(
    infos: list[fs.FileInfo], folders: Sequence[str], root: str, split: str | None
) -> list[fs.FileInfo]:
    """The files of the split, where `save_to_disk` wrote each split into a folder of its own."""
    names = [PurePosixPath(folder).name for folder in folders]
    if split is None:
        _require_one(names, root)
        return infos
    if split not in names and folders != [root]:
        raise InputError(f"{root} has no split {split!r}; dataset.split is one of {', '.join(names)}")
    return [info for info in infos if folders == [root] or PurePosixPath(info.path).parent.name == split]


def _require_one(names: Sequence[str], root: str) -> None:
    if len(set(names)) > 1:
        raise InputError(f"{root} holds several splits ({', '.join(names)}); choose one with dataset.split")


def _of_named_split(infos: list[fs.FileInfo], root: str, split: str | None) -> list[fs.FileInfo]:
    """The files whose path has the split's name as a word, as the hub tells splits apart."""
    splits = [_split_in(_below(info, root)) for info in infos]
    names = sorted({name for name in splits if name is not None})
    if split is None:
        _require_one(names, root)
        return infos
    words = _SPLIT_WORDS.get(split, (split,))
    kept = [
        info
        for info, name in zip(infos, splits, strict=True)
        if name == split or (split not in _SPLIT_WORDS and set(words) & set(_words(_below(info, root))))
    ]
    if not kept and names:
        raise InputError(f"{root} has no file of a split {split!r}; dataset.split is one of {', '.join(names)}")
    return kept or infos


def _words(path: str) -> list[str]:
    return _WORD.findall(path.lower())


def _split_in(path: str) -> str | None:
    """The split that a file's name tells, else the nearest folder's."""
    for part in reversed(path.split("/")):
        for word in reversed(_words(part)):
            for name, words in _SPLIT_WORDS.items():
                if word in words:
                    return name
    return None
