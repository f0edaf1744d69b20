"""Pairs of rows that are alike as wholes: found by the bands of their signatures, compared where their sketches come.

Rows are found in waves of bands. In each, a part sends the keys of its rows' bands to the partitions of their hashes;
these see who shares a bucket and may be alike by one bit of each MinHash value (signature_bits.py), and ask the parts
for the sketches of those rows alone; then they compare. Of rows in large buckets only those are asked for that share a
rare shingle (prefix_filter.py), which are exchanged in their turn. Buckets whose rows a former wave joined are closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from operators.contract.exchange import Boxes, Inbox, Sent
from operators.likeness.hashed_sets import HashedSets
from operators.likeness.key_order import run_sizes, stable_order
from operators.likeness.near_duplicates import LARGE_BUCKET, band_keys, band_size
from operators.likeness.pair_joiner import Bool, PairJoiner, in_open_bucket
from operators.likeness.partitioned.copy_steps import COPIES
from operators.likeness.partitioned.tables import (
    HEADS,
    SETS,
    SHINGLES,
    SIGNATURES,
    RowLayout,
    addressed,
    matrix_in,
    numbers,
    read,
    sets_in,
    small_order,
    table_of,
)
from operators.likeness.prefix_filter import NUM_SLOTS, PrefixEntries, prefix_entries, slot_counts
from operators.likeness.row_likeness import WholeRule
from operators.likeness.signature_bits import max_unlike_bits, may_be_joined, signature_bits
from operators.texts.text import MULTIPLIER, Int64, UInt32, UInt64, scramble

ALIKE_PAIRS, LABELS = "alike_pairs", "labels"
"""Rows that are alike, all together; by part, the lowest row that each is joined with so far."""
_BANDS, _BANDED, _CROWDED, _SLOTS, _TOKENS, _ENTRIES, _WANTED, _SHIPPED = (
    "bands",
    "banded",
    "crowded",
    "slots",
    "tokens",
    "entries",
    "wanted",
    "shipped",
)
_NO_BAND = 255
_ANYWHERE = np.int64(1) << np.int64(62)
"""The limit of an entry that is paired with all others of its bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """Some of the bands, and what all its steps know."""

    layout: RowLayout
    threshold: float
    num_perm: int
    first: int
    """The first of its bands."""
    end: int

    def channel(self, name: str) -> str:
        """The wave's own channel of a kind."""
        return f"{name}-{self.first}"

    def keys(self, signatures: UInt32, *, first: int = 0) -> np.ndarray:
        """One key for each band of each row, from the band `first` to the wave's last [N, bands]."""
        size = band_size(self.threshold, self.num_perm)
        bands = band_keys(signatures[:, first * size : self.end * size], size)
        return scramble(bands + np.arange(first, self.end, dtype=np.uint64) * MULTIPLIER)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendBands:
    """The keys of a part's rows, exact copies left out."""

    wave: Wave

    @property
    def reads(self) -> tuple[str, ...]:
        return HEADS, SIGNATURES, COPIES, LABELS

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        heads, signed = read(inbox, HEADS), read(inbox, SIGNATURES)
        if heads is None or signed is None:
            return Sent(channels={})
        layout = self.wave.layout
        usable = (numbers(heads, "keys") != 0) & (numbers(heads, "sizes") > 0)
        usable[layout.places(number, numbers(read(inbox, COPIES), "row"))] = False
        places = np.flatnonzero(usable)
        signatures = matrix_in(signed, "signatures")
        keys = self.wave.keys(signatures, first=self.wave.first)[places]
        sent = {
            "row": places + layout.starts[number],
            "label": _labels(layout, number, inbox)[places],
            "bits": signature_bits(signatures)[places],
        }
        return Sent(channels=self._by_partition(keys, table_of(sent)))

    def _by_partition(self, keys: UInt64, rows: pa.Table) -> dict[str, Boxes]:
        """Each partition's keys, and once each row that has some of them: a key says where its row stands there."""
        partitions = self.wave.layout.partitions(keys.ravel())
        order = small_order(partitions)
        to, owners = partitions[order], order // keys.shape[1]
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = (to[1:] != to[:-1]) | (owners[1:] != owners[:-1])
        places = np.cumsum(is_first) - 1
        begins = np.searchsorted(to, to[is_first])
        entries = {
            "key": keys.ravel()[order],
            "place": (places - places[begins][places]).astype(np.uint32),
            "band": (order % keys.shape[1] + self.wave.first).astype(np.uint8),
        }
        return {
            self.wave.channel(_BANDS): addressed(table_of(entries), to),
            self.wave.channel(_BANDED): addressed(rows, to[is_first], owners[is_first]),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FindCompany:
    """Who shares a bucket with whom; the note is the number of rows in large ones."""

    wave: Wave

    @property
    def reads(self) -> tuple[str, ...]:
        return self.wave.channel(_BANDS), self.wave.channel(_BANDED)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        found, banded = (read(inbox, self.wave.channel(name)) for name in (_BANDS, _BANDED))
        if found is None or banded is None:
            return Sent(channels={}, note=0)
        keys, owners = numbers(found, "key"), self._owners(inbox)
        order = stable_order(keys)
        labels = numbers(banded, "label")[owners]
        order = order[in_open_bucket(labels[order], keys[order])]
        sizes = run_sizes(keys[order])
        is_large = np.repeat(sizes > LARGE_BUCKET, sizes)
        small, rows = order[~is_large], numbers(banded, "row")[owners]
        unlike = max_unlike_bits(self.wave.threshold, self.wave.num_perm)
        bits = matrix_in(banded, "bits")[owners[small]]
        small = small[may_be_joined(bits, labels[small], keys[small], max_unlike=unlike)]
        crowded = table_of({"row": np.unique(rows[order[is_large]])})
        entries = {
            "key": keys[small],
            "row": rows[small],
            "band": numbers(found, "band")[small],
            "place": np.zeros(len(small), dtype=np.int64),
            "limit": np.full(len(small), _ANYWHERE),
        }
        channels = _asked(self.wave, number, table_of(entries))
        channels[self.wave.channel(_CROWDED)] = self.wave.layout.by_part(crowded)
        return Sent(channels=channels, note=crowded.num_rows)

    def _owners(self, inbox: Inbox) -> Int64:
        """Whose each key is, among the rows of all parts."""
        entries, rows = (inbox.tables(self.wave.channel(name)) for name in (_BANDS, _BANDED))
        sent = [
            (numbers(some, "place").astype(np.int64), part.num_rows) for some, part in zip(entries, rows, strict=True)
        ]
        starts = np.cumsum([0, *(num_rows for _, num_rows in sent)])
        return np.concatenate([places + start for (places, _), start in zip(sent, starts, strict=False)])


@dataclass(frozen=True, slots=True, kw_only=True)
class CountCrowd:
    """How frequent shingles are in rows in large buckets."""

    wave: Wave

    @property
    def reads(self) -> tuple[str, ...]:
        return SETS, self.wave.channel(_CROWDED)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        rows, sets = _crowd(self.wave, number, inbox)
        if len(rows) == 0:
            return Sent(channels={})
        counts = slot_counts(sets, np.zeros(len(rows), dtype=np.uint64))
        filled = np.flatnonzero(counts)
        slots = table_of({"slot": filled.astype(np.uint32), "count": counts[filled].astype(np.uint32)})
        return Sent(channels={self.wave.channel(_SLOTS): {0: slots}})


@dataclass(frozen=True, slots=True, kw_only=True)
class SumCrowd:
    """The sum of the counts, as a note."""

    wave: Wave

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.wave.channel(_SLOTS),)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        total = np.zeros(NUM_SLOTS, dtype=np.int64)
        for counts in inbox.tables(self.wave.channel(_SLOTS)):
            total[numbers(counts, "slot")] += numbers(counts, "count")
        return Sent(channels={}, note=total)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTokens:
    """The rare shingles of a part's rows in large buckets."""

    wave: Wave
    slots: Int64

    @property
    def reads(self) -> tuple[str, ...]:
        return SETS, self.wave.channel(_CROWDED), LABELS

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        rows, sets = _crowd(self.wave, number, inbox)
        if len(rows) == 0:
            return Sent(channels={})
        layout = self.wave.layout
        buckets = np.zeros(len(rows), dtype=np.uint64)  # one for all: shingles are exchanged once, not once a bucket
        entries = prefix_entries(sets, buckets, self.wave.threshold, slots=self.slots)
        labels = _labels(layout, number, inbox)[layout.places(number, rows)]
        table = table_of(
            {
                "key": entries.tokens,
                "row": rows[entries.owners],
                "label": labels[entries.owners],
                "place": entries.places,
                "limit": entries.limits,
            }
        )
        return Sent(channels={self.wave.channel(_TOKENS): layout.by_key(table)})


@dataclass(frozen=True, slots=True, kw_only=True)
class FindTokenCompany:
    """Who shares a rare shingle with whom."""

    wave: Wave

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.wave.channel(_TOKENS),)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        found = read(inbox, self.wave.channel(_TOKENS))
        if found is None:
            return Sent(channels={})
        order = np.lexsort((numbers(found, "place"), keys := numbers(found, "key")))
        order = order[in_open_bucket(numbers(found, "label")[order], keys[order])]
        found = found.take(pa.array(order)).drop_columns("label")
        bands = pa.array(np.full(found.num_rows, _NO_BAND, dtype=np.uint8))
        return Sent(channels=_asked(self.wave, number, found.append_column("band", bands)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipSketches:
    """The sketches of the rows that partitions ask for."""

    wave: Wave

    @property
    def reads(self) -> tuple[str, ...]:
        return SIGNATURES, SETS, self.wave.channel(_WANTED)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        wanted = read(inbox, self.wave.channel(_WANTED))
        signed, sets = read(inbox, SIGNATURES), read(inbox, SETS)
        if wanted is None or signed is None or sets is None:
            return Sent(channels={})
        starts = self.wave.layout.starts
        rows = {"row": pa.array(np.arange(starts[number], starts[number + 1])), "signatures": signed["signatures"]}
        table = pa.table({**rows, **{name: sets[name] for name in SHINGLES}})
        places = self.wave.layout.places(number, numbers(wanted, "row"))
        partitions, places = np.divmod(np.unique(numbers(wanted, "partition") * len(table) + places), len(table))
        return Sent(channels={self.wave.channel(_SHIPPED): addressed(table, partitions, places)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparePairs:
    """The pairs of a partition's buckets that are alike; of those joined already in it, one for each row is told."""

    wave: Wave

    @property
    def reads(self) -> tuple[str, ...]:
        return self.wave.channel(_SHIPPED), self.wave.channel(_ENTRIES)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        shipped, entries = (read(inbox, self.wave.channel(name)) for name in (_SHIPPED, _ENTRIES))
        if shipped is None or entries is None:
            return Sent(channels={})
        rows, signatures = numbers(shipped, "row"), matrix_in(shipped, "signatures")
        sets = (sets_in(shipped, "before"), sets_in(shipped, "answer"))
        del shipped  # it is as large as what was read of it
        joiner = PairJoiner(
            signatures=signatures,
            sets=sets,
            rows=np.arange(len(rows)),
            alike=WholeRule(sets=sets, threshold=self.wave.threshold),
        )
        order = np.argsort(rows)
        members = order[np.searchsorted(rows, numbers(entries, "row"), sorter=order)]
        bands = self.wave.keys(signatures)
        for left, right in self._in_buckets(joiner, members, entries, bands):
            joiner.join(left, right)
        for left, right in self._in_tokens(joiner, members, entries, bands):
            joiner.join(left, right)
        roots = joiner.roots()
        joined = np.flatnonzero(roots != np.arange(len(roots)))
        pairs = table_of({"row": rows[joined], "other": rows[roots[joined]]})
        return Sent(channels={ALIKE_PAIRS: {0: pairs}})

    def _in_buckets(
        self, joiner: PairJoiner, members: Int64, entries: pa.Table, bands: np.ndarray
    ) -> Iterator[tuple[Int64, Int64]]:
        """Pairs in small buckets that no earlier band has."""
        keys, band_of = numbers(entries, "key"), numbers(entries, "band")
        for band in range(self.wave.first, self.wave.end):
            some = np.flatnonzero(band_of == band)
            some = some[stable_order(keys[some])]
            for left, right in joiner.neighbours(members[some], keys[some]):
                new = ~_share(bands[:, :band], left, right)
                yield left[new], right[new]

    def _in_tokens(
        self, joiner: PairJoiner, members: Int64, entries: pa.Table, bands: np.ndarray
    ) -> Iterator[tuple[Int64, Int64]]:
        """Pairs that share a rare shingle and one of the wave's bands, but none of an earlier wave."""
        some = np.flatnonzero(numbers(entries, "band") == _NO_BAND)
        keys, places, limits = (numbers(entries, name)[some] for name in ("key", "place", "limit"))
        order = np.lexsort((places, keys))
        sorted_entries = PrefixEntries(owners=order, tokens=keys[order], places=places[order], limits=limits[order])
        for left, right in joiner.with_like_entries(members[some], sorted_entries):
            before = _share(bands[:, : self.wave.first], left, right)
            new = _share(bands[:, self.wave.first : self.wave.end], left, right) & ~before
            yield left[new], right[new]


def _share(bands: np.ndarray, left: Int64, right: Int64) -> Bool:
    """Mask of the pairs that share one of the bands."""
    found: Bool = (bands[left] == bands[right]).any(axis=1)
    return found


def _asked(wave: Wave, number: int, entries: pa.Table) -> dict[str, Boxes]:
    """The entries of a partition kept for itself, and the parts asked for their rows."""
    rows = np.unique(numbers(entries, "row"))
    wanted = table_of({"row": rows, "partition": np.full(len(rows), number)})
    return {
        wave.channel(_ENTRIES): {number: entries.select(["key", "row", "band", "place", "limit"])},
        wave.channel(_WANTED): wave.layout.by_part(wanted),
    }


def _crowd(wave: Wave, number: int, inbox: Inbox) -> tuple[Int64, list[HashedSets]]:
    """A part's rows in large buckets, and their sets."""
    rows = np.unique(numbers(read(inbox, wave.channel(_CROWDED)), "row"))
    sets = read(inbox, SETS)
    if sets is None:
        return rows, []
    places = wave.layout.places(number, rows)
    return rows, [sets_in(sets, name).take(places) for name in SHINGLES]


def _labels(layout: RowLayout, number: int, inbox: Inbox) -> Int64:
    """The lowest row that each row of a part is joined with: itself, where nothing is said."""
    labels = np.arange(layout.starts[number], layout.starts[number + 1])
    said = read(inbox, LABELS)
    labels[layout.places(number, numbers(said, "row"))] = numbers(said, "label")
    return labels
