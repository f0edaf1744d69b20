"""Datasets of the Hugging Face hub, as folders of its local cache: downloaded where that can be, else what is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from actors.storage.full_disk import full_disk_line
from autodp_ray.records.files.file_kinds import COMPRESSIONS, FORMAT_SUFFIXES
from operators.contract.errors import InputError

HUB_PREFIX = "hf://datasets/"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?:@[\w./-]+)?")
_HUB_PATH = re.compile(r"([^/@]+/[^/@]+)(?:@([^/]+))?(?:/(.*))?")


def is_hub_dataset(path: str) -> bool:
    """Whether a dataset's path names one on the hub: `hf://datasets/ORGANISATION/NAME`, or ORGANISATION/NAME where
    no folder of the organisation's name is here."""
    if path.startswith("hf://"):
        return True
    looks_like_one = _HUB_ID.fullmatch(path) is not None and not _names_a_file(path)
    return looks_like_one and not Path(path.partition("/")[0]).exists()


def _names_a_file(path: str) -> bool:
    return Path(path).suffix.lower() in {*COMPRESSIONS, *(one for all_of in FORMAT_SUFFIXES.values() for one in all_of)}


@cache
def hub_folder(path: str) -> str:
    """The local folder, file or glob that stands for a path on the hub; `@REVISION` may follow the name.

    Raises: InputError where the hub does not give it and it is not in the cache.
    """
    found = _HUB_PATH.fullmatch(path.removeprefix(HUB_PREFIX).rstrip("/"))
    if found is None or (path.startswith("hf://") and not path.startswith(HUB_PREFIX)):
        raise InputError(f"{path!r} is no dataset of the hub; it is spelled {HUB_PREFIX}ORGANISATION/NAME/PATH")
    repository, revision, below = found.groups()
    folder = _snapshot(path, repository, revision, below)
    return f"{folder}/{below}" if below else folder


def _snapshot(path: str, repository: str, revision: str | None, below: str | None) -> str:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return snapshot_download(
            repository, repo_type="dataset", revision=revision, allow_patterns=_patterns(below), max_workers=4
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        if full_disk_line(error) is not None:
            raise
        raise InputError(
            f"{path!r}: there is no such path here, and the hub did not give the dataset ({type(error).__name__}); "
            "check the name, the network and HF_HUB_OFFLINE, and for a gated dataset HF_TOKEN; without a network run "
            f"`hf download --repo-type dataset {repository}` where there is one and name the folder that it prints"
        ) from error


def _patterns(below: str | None) -> list[str]:
    """The files to download: data alone, never scripts."""
    if below:
        return [below, f"{below}/*"]
    suffixes = [suffix for kind, all_of in FORMAT_SUFFIXES.items() if kind != "yaml" for suffix in all_of]
    return [f"*{suffix}{packed}" for suffix in suffixes for packed in ("", *COMPRESSIONS)]
