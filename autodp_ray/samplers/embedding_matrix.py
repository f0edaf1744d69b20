"""A matrix of embeddings that need not fit into memory: blocks of rows, read one after the other.

Knows where rows lie, not what they mean. Rows are cosines' business: zero rows aside, readers scale them to norm 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from operators.contract.errors import InputError

BLOCK_ROWS = 16384
"""Rows that are in memory at a time; 25 MB of float32 at 384 dimensions."""

AnyFloats = npt.NDArray[np.floating]
"""Rows as they are stored, float32 as a rule."""
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredPart:
    """A part file; mapped into memory where it is local, so only the pages in use are there."""

    folder: Storage
    file: str

    def read(self) -> AnyFloats:
        column = self.folder.read_table(self.file)["embedding"].combine_chunks()
        assert isinstance(column, pa.FixedSizeListArray)
        if column.null_count:
            raise InputError(f"{self.folder.uri(self.file)} has rows without an embedding; make the embeddings again")
        rows: AnyFloats = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _ArrayPart:
    """Rows of an array, which may be a `numpy.memmap`."""

    array: AnyFloats

    def read(self) -> AnyFloats:
        return self.array


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingMatrix:
    """Embeddings [N, D] in parts."""

    parts: Sequence[_ArrayPart | _StoredPart]
    offsets: Int64
    """Where each part's rows start [num_parts + 1]."""
    dim: int

    @classmethod
    def of_array(cls, array: AnyFloats) -> Self:
        """The matrix over an array or memmap [N, D], which is not copied."""
        if array.ndim != 2:
            raise ValueError(f"embeddings have the shape [N, D], not {list(array.shape)}")
        offsets = np.array([0, len(array)], dtype=np.int64)
        return cls(parts=(_ArrayPart(array=array),), offsets=offsets, dim=array.shape[1])

    @classmethod
    def stored(cls, dataset: StoredDataset) -> Self:
        """The matrix over a stored dataset with the column `embedding`."""
        parts = tuple(_StoredPart(folder=dataset.folder, file=part.file) for part in dataset.manifest.parts)
        sizes = [part.num_rows for part in dataset.manifest.parts]
        dim = parts[0].read().shape[1] if parts else 0
        return cls(parts=parts, offsets=np.cumsum([0, *sizes]).astype(np.int64), dim=dim)

    @property
    def num_rows(self) -> int:
        return int(self.offsets[-1])

    def blocks(self) -> Iterator[tuple[int, AnyFloats]]:
        """(first row, rows as stored [B, D]) over all rows, at most `BLOCK_ROWS` at a time."""
        for part, offset in zip(self.parts, self.offsets[:-1].tolist(), strict=True):
            rows = part.read()
            for start in range(0, len(rows), BLOCK_ROWS):
                yield offset + start, rows[start : start + BLOCK_ROWS]

    def unit_blocks(self) -> Iterator[tuple[int, Float64]]:
        """(first row, rows scaled to norm 1 [B, D]) over all rows."""
        for start, rows in self.blocks():
            yield start, unit(rows)

    def take(self, rows: Int64) -> Float64:
        """Some rows, scaled to norm 1, in the order given [n, D]."""
        taken = np.empty((len(rows), self.dim), dtype=np.float64)
        owners = np.searchsorted(self.offsets, rows, side="right") - 1
        for owner in np.unique(owners):
            mine = np.flatnonzero(owners == owner)
            taken[mine] = unit(self.parts[owner].read()[rows[mine] - self.offsets[owner]])
        return taken


def unit(rows: AnyFloats) -> Float64:
    """Rows as float64, scaled to norm 1; zero rows stay zero, as they are alike to nothing."""
    return unit_and_norms(rows)[0]


def unit_and_norms(rows: AnyFloats) -> tuple[Float64, Float64]:
    """Rows scaled to norm 1 and what they were divided by: 1 for a zero row."""
    wide = rows.astype(np.float64)
    norms = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    norms[norms == 0.0] = 1.0
    wide /= norms[:, None]
    return wide, norms
