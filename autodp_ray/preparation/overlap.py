"""Keeps a screener's training rows apart from a run's rows: no group of near-duplicates is in both.

A screener sees question, answer and history: rows that differ in further columns alone are the same to it.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from actors.data.many_jobs import ManyJobs
from actors.data.stored_dataset import StoredDataset
from actors.screening.manifest import TRAINING_ROWS
from autodp_ray.preparation.row_index import StoredPart, parts_of_all
from operators.contract.errors import InputError
from operators.likeness.hashed_sets import HashedSets
from operators.likeness.row_likeness import group_rows
from operators.likeness.row_sketches import NUM_PERM, RowSketches, merge_rows, sketch_rows
from operators.likeness.sketch_mark import sketch_mark

_MARK = "mark"


def copies_of(mine: RowSketches, others: RowSketches, *, threshold: float) -> np.ndarray:
    """Mask [N] of my rows that share a group of near-duplicates with one of the others."""
    groups = group_rows(merge_rows([mine, others]), threshold)
    found: np.ndarray = np.isin(groups[: len(mine)], groups[len(mine) :])
    return found


def sketches_to_bytes(sketches: RowSketches) -> bytes:
    """As an .npz file, with the mark of the code that made them."""
    arrays: dict[str, np.ndarray] = {_MARK: _current_mark()}
    for field in fields(sketches):
        value = getattr(sketches, field.name)
        named = {field.name: value} if isinstance(value, np.ndarray) else _set_arrays(field.name, value)
        arrays.update(named)
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stub takes `allow_pickle` for one of them
    return file.getvalue()


def _current_mark() -> np.ndarray:
    return np.frombuffer(sketch_mark(num_perm=NUM_PERM, seed=0).encode(), dtype=np.uint8)


def _set_arrays(name: str, sets: HashedSets) -> dict[str, np.ndarray]:
    return {f"{name}.values": sets.values, f"{name}.offsets": sets.offsets}


def sketches_from_file(path: Path) -> RowSketches | None:
    """The sketches of an .npz file; None for a file of another version.

    Raises: InputError for a damaged file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:  # numbers alone: a pickle in it would be code
            found = {name: arrays[name] for name in arrays.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}); train the screener again") from None
    if not np.array_equal(found.pop(_MARK, np.empty(0)), _current_mark()):
        return None
    sets = {name.removesuffix(".values") for name in found if name.endswith(".values")}
    for name in sets:
        found[name] = HashedSets(values=found.pop(f"{name}.values"), offsets=found.pop(f"{name}.offsets"))
    return RowSketches(**found)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountCopies:
    """How many rows of a part are copies of what a screener was trained on."""

    trained: RowSketches
    threshold: float

    def __call__(self, part: StoredPart) -> int:
        mine = sketch_rows(part.read(), content=())
        return int(copies_of(mine, self.trained, threshold=self.threshold).sum())


def require_apart(screener: str, sources: Sequence[StoredDataset], *, threshold: float, tasks: ManyJobs) -> None:
    """Raises: InputError where a screener was trained on copies of a run's rows, or does not say."""
    path = Path(screener).expanduser() / TRAINING_ROWS
    trained = sketches_from_file(path) if path.is_file() else None
    if trained is None:
        reason = "is of another version" if path.is_file() else "is gone"
        raise InputError(f"{screener} does not say what it was trained on ({TRAINING_ROWS} {reason}): train it again")
    num_shared = sum(tasks.run(parts_of_all(sources), CountCopies(trained=trained, threshold=threshold)))
    if num_shared:
        num_rows = sum(source.num_rows for source in sources)
        raise InputError(
            f"the screener {screener} was trained on copies of {num_shared} of the run's {num_rows} rows, so its "
            "verdicts on them say nothing; train it with this run's config: autodp screen train CONFIG --output FOLDER"
        )
