"""The splits as datasets: each part's train rows become a part, and its held-out rows, which are few, come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from actors.data.many_jobs import ManyJobs
from actors.data.stored_dataset import Part, StoredDataset, write_manifest, write_part
from actors.storage.storage import Storage
from autodp_ray.config.splits_config import HeldOut
from autodp_ray.preparation.row_index import PART_COPIES, StoredPart, parts_of_all
from autodp_ray.preparation.splits import HELD_OUT, Splits
from operators.texts.text import Int64

_NOWHERE, _TRAIN = 0, 1
_CODES: Mapping[HeldOut, int] = {name: 2 + at for at, name in enumerate(HELD_OUT)}
_SplitCodes = np.ndarray
"""Of each row, which split it is in, uint8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Divided:
    """What became of one part."""

    train: Part | None
    held_out: Mapping[HeldOut, pa.Table]


@dataclass(frozen=True, slots=True, kw_only=True)
class DividePart:
    """Writes a part's train rows."""

    train: Storage

    def __call__(self, job: tuple[StoredPart, _SplitCodes]) -> _Divided:
        part, codes = job
        table = part.read()
        rows = table.filter(pa.array(codes == _TRAIN))
        return _Divided(
            train=write_part(self.train, part.number, rows) if rows.num_rows else None,
            held_out={name: table.filter(pa.array(codes == code)) for name, code in _CODES.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRows:
    """The rows at some places of a part."""

    def __call__(self, job: tuple[StoredPart, Int64]) -> pa.Table:
        part, places = job
        return part.read().take(pa.array(places))


def divide(
    sources: Sequence[StoredDataset], splits: Splits, *, given: Sequence[HeldOut], train: Storage, tasks: ManyJobs
) -> tuple[StoredDataset, dict[HeldOut, pa.Table]]:
    """The train split, written to a folder, and the rows of the held-out splits.

    The first source is the dataset, the others the files of the splits that `given` names.
    """
    parts = parts_of_all(sources)
    jobs = zip(parts, _codes(sources, splits, given), strict=True)
    done = list(tasks.run(jobs, DividePart(train=train), memory_bytes=_held(parts)))
    written = write_manifest(train, [one.train for one in done if one.train is not None], {})
    held_out = {
        name: pa.concat_tables([one.held_out[name] for one in done], promote_options="default") for name in HELD_OUT
    }
    return written, held_out


def take_stored(dataset: StoredDataset, rows: Int64, tasks: ManyJobs) -> pa.Table:
    """The rows at ascending places of a dataset, at least one; parts without any are not read."""
    parts = parts_of_all([dataset])
    starts = np.cumsum([0, *(part.part.num_rows for part in parts)])
    cuts = np.searchsorted(rows, starts)
    jobs = [
        (part, rows[low:high] - start)
        for part, start, low, high in zip(parts, starts, cuts, cuts[1:], strict=False)
        if high > low
    ]
    taken = list(tasks.run(jobs, TakeRows(), memory_bytes=_held(parts)))
    return pa.concat_tables(taken, promote_options="default")


def _codes(sources: Sequence[StoredDataset], splits: Splits, given: Sequence[HeldOut]) -> Iterator[_SplitCodes]:
    """Those of each part."""
    for source, own in zip(sources, (None, *given), strict=True):
        codes = np.full(source.num_rows, _NOWHERE, dtype=np.uint8)
        if own is None:
            codes[splits.train] = _TRAIN
        for name in HELD_OUT:
            if name == own or (own is None and name not in given):
                codes[splits.held_out(name)] = _CODES[name]
        start = 0
        for part in source.manifest.parts:
            yield codes[start : start + part.num_rows]
            start += part.num_rows


def _held(parts: Sequence[StoredPart]) -> int:
    return PART_COPIES * max((part.part.num_bytes for part in parts), default=0)
