"""What a run writes into its folder, name by name, and how a folder is cleared of that and of nothing else.

A name that is not listed here is its user's, wherever in the folder it lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from actors.storage.storage import Storage
from autodp_ray.memo_folder import COMPLETION_FILES
from operators.contract.errors import InputError

CONFIG, RESULT, REPORT, EXPLANATION, LOCK = "config.json", "result.json", "report.html", "explain.json", ".lock"
COMPARISON, COMPARISON_TABLE, COMPARISON_PAGE = "compare.json", "compare.md", "compare.html"
JOURNAL, SPLITS, QUARANTINE, PROCESSED, WORK, TUNED, TRAINING = (
    "journal",
    "splits",
    "quarantine",
    "processed",
    "work",
    "tuned",
    "training",
)
TUNING_WORK = r"(rows/.*|[0-9a-f]{16}/.*)"
"""What a tuning keeps beside its output: the rows as parts, and one folder an attempt."""
_DATASET = r"(manifest\.json|part-\d{6}\.arrow)"
_COMPARED = (COMPARISON, COMPARISON_TABLE, COMPARISON_PAGE)
_TEMPORARY = r"(.*/)?\.tmp-[^/]*"
_FILES = (
    *(re.escape(name) for name in (RESULT, REPORT, EXPLANATION, *_COMPARED, *COMPLETION_FILES)),
    rf"{JOURNAL}/\d{{6}}-[a-z_]+\.json",
    rf"{SPLITS}/(train|sample|guide|validation|test)/{_DATASET}",
    rf"{SPLITS}/(ids\.arrow|layout\.json|corruption\.csv)",
    rf"{QUARANTINE}/((guide|validation|test)/)?quarantine\.jsonl",
    rf"{PROCESSED}/(data(-\d{{5}})?\.[a-z0-9.]+|(.*/)?quarantine\.jsonl)",
    rf"{WORK}/(everything|input)/{_DATASET}",
    rf"{WORK}/(rows(-[a-z]+)?|index)/.*",
    rf"{TRAINING}/(trainings-[0-9a-f]{{8}}/.*|\..*)",
    rf"{TUNED}/[^/]+\.work/{TUNING_WORK}",
)
_OWN = re.compile("|".join((*_FILES, _TEMPORARY)))
_TOP = (JOURNAL, SPLITS, QUARANTINE, PROCESSED, WORK, TUNED, TRAINING)


def require_empty(folder: Storage) -> None:
    """Raises: InputError where a folder that holds no run holds something else; hidden files are no matter."""
    if found := [name for name in folder.names() if not name.startswith(".")]:
        raise InputError(
            f"{folder.location} is not empty and holds no run of this program: it has {_some(found)}, but no {CONFIG}; "
            "nothing in it was touched: choose another folder, or empty it yourself"
        )


def clear_run(folder: Storage, *, exported: Iterable[str] = ()) -> list[str]:
    """Delete what a run made, config.json last; gives back the files that stay because they are their user's.

    `exported` are the files of tuned models in the folder.
    """
    for name in (RESULT, REPORT, EXPLANATION, *_COMPARED, *COMPLETION_FILES, *exported):
        folder.delete(name)
    left = [file for top in _TOP for file in clear(folder, top)]
    folder.delete(CONFIG)
    return left


def clear(folder: Storage, top: str) -> list[str]:
    """Delete what a run made below one of its folders; gives back the files that stay."""
    left = []
    for file in folder.files(top):
        path = str(PurePosixPath(top, file))
        if _OWN.fullmatch(path):
            folder.delete(path)
        else:
            left.append(path)
    folder.delete_empty_folders(top)
    return left


def _some(names: list[str]) -> str:
    names = [name if len(name) <= 40 else f"{name[:40]}..." for name in names]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
