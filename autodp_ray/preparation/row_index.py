"""What splits and samples need to know of every row: its id and a few numbers, whatever the row's size.

Gathered part by part. The rows of a split's own file follow those of the dataset.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from actors.data.exchange_files import SentFile, write_sent
from actors.data.many_jobs import ManyJobs
from actors.data.stored_dataset import Part, StoredDataset, read_checked
from actors.data.stored_exchange import StoredExchange
from actors.storage.storage import Storage
from operators.contract.resources import Screener
from operators.likeness.partitioned.near_duplicates import NearDuplicates
from operators.likeness.partitioned.part_sketches import PartNote
from operators.likeness.row_likeness import SaidKeys
from operators.likeness.row_sketches import NUM_PERM
from operators.rows.content_columns import ContentColumns
from operators.rows.conversation import answers_without_loss
from operators.rows.record import is_complete
from operators.texts.text import Int64

Bool = npt.NDArray[np.bool_]
PART_COPIES = 8
"""How much more a task holds than the bytes of its part: the rows, their normalised texts, their sketches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowIndex:
    """N rows, those of one source after those of another."""

    ids: pa.Array
    """Texts [N]; unique within a source."""
    groups: Int64
    """Label of each row's group of near-duplicates [N]: its lowest row."""
    complete: Bool
    """Question and answer are there, and a model may learn the answer [N]."""
    clean: Bool | None
    """The screener finds nothing to do [N]; None without one."""
    said: SaidKeys
    starts: Int64
    """Where the rows of each source start, and at the end N."""

    def __len__(self) -> int:
        return len(self.groups)

    def rows_of(self, source: int) -> Int64:
        """The rows of a source."""
        return np.arange(*self.starts[source : source + 2])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """One part of one of the sources."""

    number: int
    """Among the parts of all sources."""
    folder: Storage
    part: Part

    def read(self) -> pa.Table:
        return read_checked(self.folder, self.part.file, self.part.checksum)


def parts_of_all(sources: Sequence[StoredDataset]) -> list[StoredPart]:
    """The parts of all sources, in their order."""
    parts = [(source.folder, part) for source in sources for part in source.manifest.parts]
    return [StoredPart(number=number, folder=folder, part=part) for number, (folder, part) in enumerate(parts)]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedPart:
    """Of one part."""

    ids: pa.Array
    complete: Bool
    clean: Bool | None
    said: SaidKeys
    sent: SentFile


class MergedParts:
    """What comes back of the parts. A column goes from here when it is put together, so few of them are there twice."""

    def __init__(self) -> None:
        self._ids = [pa.array([], pa.large_string())]
        self._said: list[SaidKeys] = []
        self._complete = [np.zeros(0, dtype=bool)]
        self._clean: list[Bool] = []

    def add(self, part: IndexedPart) -> SentFile:
        self._ids.append(part.ids)
        self._said.append(part.said)
        self._complete.append(part.complete)
        if part.clean is not None:
            self._clean.append(part.clean)
        return part.sent

    def index(self, groups: Int64, *, starts: Int64) -> RowIndex:
        """The index of their rows, once all are here."""
        said = SaidKeys.merged(self._said)
        self._said.clear()
        ids = pa.concat_arrays(self._ids)
        self._ids.clear()
        return RowIndex(
            ids=ids,
            groups=groups,
            complete=np.concatenate(self._complete),
            clean=np.concatenate(self._clean) if self._clean else None,
            said=said,
            starts=starts,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPart:
    """Reads a part; its sketches stay on storage."""

    found: NearDuplicates
    content: ContentColumns
    screener: Screener | None
    work: Storage

    def __call__(self, part: StoredPart) -> IndexedPart:
        table = part.read()
        sketches = list(self.found.sketches(table, self.content))
        sent = self.found.sent(part.number, table, sketches)
        return IndexedPart(
            ids=table["id"].combine_chunks().cast(pa.large_string()),
            complete=_can_be_held_out(table),
            clean=None if self.screener is None else ~self.screener.needs_work(table),
            said=SaidKeys.merged([SaidKeys.of(rows) for rows in sketches]),
            sent=write_sent(self.work, f"part-{part.number:06d}.arrow", sent),
        )


def _can_be_held_out(table: pa.Table) -> Bool:
    unlearnt = answers_without_loss(table["history"].combine_chunks())
    mask: Bool = pc.and_not(is_complete(table), unlearnt).to_numpy(zero_copy_only=False)
    return mask


def index_rows(
    sources: Sequence[StoredDataset],
    *,
    threshold: float,
    content: ContentColumns,
    screener: Screener | None,
    work: Storage,
    tasks: ManyJobs,
) -> RowIndex:
    """The index of all rows of the sources; `work` is a folder for the meantime.

    Raises: EndpointError where the screener fails, RunError where a part is gone or damaged.
    """
    found = NearDuplicates(threshold=threshold, num_perm=NUM_PERM, seed=0)
    parts = parts_of_all(sources)
    largest = max((part.part.num_bytes for part in parts), default=0)
    merged = MergedParts()
    with work.scratch():
        job = IndexPart(found=found, content=content, screener=screener, work=work)
        exchange = StoredExchange(folder=work, run_tasks=tasks.run_numbered)
        notes = exchange.send([merged.add(one) for one in tasks.run(parts, job, memory_bytes=PART_COPIES * largest)])
        groups = found.groups([note for note in notes if isinstance(note, PartNote)], exchange)
    return merged.index(groups, starts=np.cumsum([0, *(source.num_rows for source in sources)]))
