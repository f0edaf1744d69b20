"""Keeps a screener's training rows apart from a run's rows: no group of near-duplicates is in both."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.screening.manifest import TRAINING_ROWS
from autodp_ray.records.row_groups import row_sketches
from operators.errors import InputError
from operators.near_duplicates import TextSketches, group_sketches, merge_sketches


def copies_of(table: pa.Table, others: TextSketches, *, threshold: float) -> np.ndarray:
    """Mask [N] of the rows that share a group of near-duplicates with one of the others."""
    mine = row_sketches(table)
    groups = group_sketches(merge_sketches([mine, others]), threshold)
    found: np.ndarray = np.isin(groups[: table.num_rows], groups[table.num_rows :])
    return found


def sketches_to_bytes(sketches: TextSketches) -> bytes:
    """As an .npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, **{field.name: getattr(sketches, field.name) for field in fields(sketches)})
    return file.getvalue()


def require_apart(screener: str, table: pa.Table, *, threshold: float) -> None:
    """Raises: InputError where a screener was trained on copies of a run's rows."""
    path = Path(screener).expanduser() / TRAINING_ROWS
    if not path.is_file():
        raise InputError(f"{screener} does not say what it was trained on ({TRAINING_ROWS} is gone): train it again")
    try:
        with np.load(path, allow_pickle=False) as arrays:  # numbers alone: a pickle in it would be code
            trained = TextSketches(**{field.name: arrays[field.name] for field in fields(TextSketches)})
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, TypeError) as error:
        raise InputError(f"{path} is damaged ({type(error).__name__}); train the screener again") from None
    num_shared = int(copies_of(table, trained, threshold=threshold).sum())
    if num_shared:
        raise InputError(
            f"the screener {screener} was trained on copies of {num_shared} of the run's {table.num_rows} rows, so its "
            "verdicts on them say nothing; train it with this run's config: autodp screen train CONFIG --output FOLDER"
        )
