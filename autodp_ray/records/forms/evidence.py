"""What the rows of a whole dataset say about its form: counts over keys, turns and roles, in bounded memory.

Counts only; what form they speak for is told in detection.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from autodp_ray.records.formats.column_types import as_json_like, decoded_type
from autodp_ray.records.formats.raw_rows import RawRow
from autodp_ray.records.turns.turn_counts import MAX_DISTINCT, TurnCounts, add_all, count


class FormEvidence:
    """Counts over the rows; `candidates` are the keys that a form could take, `nested` those that could hold turns.

    Counts of neighbouring parts of the rows, of which the later ones have no limit of distinct combinations
    (`of_a_part`), are added up to those of one pass over all.
    """

    def __init__(
        self,
        *,
        candidates: frozenset[str],
        nested: frozenset[str],
        roles: Mapping[str, str],
        max_distinct: int | None = MAX_DISTINCT,
    ) -> None:
        self.candidates = candidates
        self._roles = roles
        self._max_distinct = max_distinct
        self.nested = nested
        self.order: dict[str, None] = {}
        """Every key, in the order first seen."""
        self.num_rows = 0
        self.filled_keys: Counter[tuple[str, ...]] = Counter()
        """Rows by which of the candidate keys they fill."""
        self.present_keys: Counter[tuple[str, ...]] = Counter()
        """Rows by which of them they have, filled or not."""
        self.num_filled: Counter[str] = Counter()
        self.num_texts: Counter[str] = Counter()
        """Of the rows that fill a candidate key, those with a text there."""
        self.turns: dict[str, TurnCounts] = {}

    def of_a_part(self) -> FormEvidence:
        """Nothing seen yet of later rows."""
        return FormEvidence(candidates=self.candidates, nested=self.nested, roles=self._roles, max_distinct=None)

    def add_counts(self, later: FormEvidence) -> None:
        """Add the counts of rows that come after all those counted here."""
        self.order.update({key: None for key in later.order if key not in self.order})
        places = {key: place for place, key in enumerate(self.order)}
        self.num_rows += later.num_rows
        for mine, others in ((self.filled_keys, later.filled_keys), (self.present_keys, later.present_keys)):
            for keys, num in others.items():
                count(mine, tuple(sorted(keys, key=places.__getitem__)), num, limit=self._max_distinct)
        self.num_filled.update(later.num_filled)
        self.num_texts.update(later.num_texts)
        for key, turns in later.turns.items():
            self.turn_counts(key).add_counts(turns)

    def add_rows(self, rows: Sequence[RawRow]) -> None:
        """Count rows of JSON."""
        for row in rows:
            for key in row:
                self.order.setdefault(key)
        self.num_rows += len(rows)
        wanted = [key for key in self.order if key in self.candidates]
        filled = Counter(tuple(key for key in wanted if row.get(key) is not None) for row in rows)
        add_all(self.filled_keys, filled, limit=self._max_distinct)
        present = Counter(tuple(key for key in wanted if key in row) for row in rows)
        add_all(self.present_keys, present, limit=self._max_distinct)
        for key in wanted:
            kinds = Counter(type(row.get(key)) for row in rows)
            self._add_kinds(key, sum(kinds.values()) - kinds[type(None)], kinds[str])
            if key in self.nested and kinds.keys() != {type(None)}:
                self.turn_counts(key).add([row.get(key) for row in rows])

    def add_table(self, table: pa.Table) -> None:
        """Count rows of a columnar file; only the candidate columns need be there."""
        wanted = [key for key in table.column_names if key in self.candidates]
        self.num_rows += table.num_rows
        columns = [pc.is_valid(table[key]).combine_chunks() for key in wanted]
        if columns:
            names = [str(at) for at in range(len(wanted))]
            groups = pa.table(columns, names=names).group_by(names).aggregate([([], "count_all")])
            found: Counter[tuple[str, ...]] = Counter()
            for group in groups.to_pylist():
                filled = tuple(key for at, key in enumerate(wanted) if group[str(at)])
                found[filled] += group["count_all"]
            add_all(self.filled_keys, found, limit=self._max_distinct)
            count(self.present_keys, tuple(wanted), table.num_rows, limit=self._max_distinct)
        for key in wanted:
            num_valid = len(table[key]) - table[key].null_count
            self._add_kinds(key, num_valid, num_valid if is_text(table[key].type) else 0)
            if key in self.nested:
                self.turn_counts(key).add_column(as_json_like(table[key].combine_chunks(), key=key))

    def _add_kinds(self, key: str, num_filled: int, num_texts: int) -> None:
        self.num_filled[key] += num_filled
        self.num_texts[key] += num_texts

    def turn_counts(self, key: str) -> TurnCounts:
        """The counts of a key's turns; all zero where it has none."""
        return self.turns.setdefault(key, TurnCounts(self._roles, max_distinct=self._max_distinct))

    def is_mostly_text(self, key: str) -> bool:
        """Whether most rows that fill a key have a text there; a key that no row fills may be a text."""
        return 2 * self.num_texts[key] >= self.num_filled[key]

    def is_mostly_turns(self, key: str) -> bool:
        """The same for lists of turns."""
        counts = self.turn_counts(key)
        return 2 * counts.num_lists >= counts.num_filled

    def is_surely_turns(self, key: str) -> bool:
        """Whether more than half of the rows that fill a key have a list of turns there."""
        return 2 * self.turn_counts(key).num_lists > self.num_filled[key]

    def num_with(self, *keys: str) -> int:
        """Rows that have all the keys, filled or not."""
        return sum(num for present, num in self.present_keys.items() if set(keys) <= set(present))

    def num_filling(self, *keys: str) -> int:
        """Rows that fill all the keys."""
        return sum(num for filled, num in self.filled_keys.items() if set(keys) <= set(filled))

    def num_with_any(self, *keys: str) -> int:
        """Rows that fill one of the keys at least."""
        return sum(num for filled, num in self.filled_keys.items() if set(keys) & set(filled))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts, or nothing at all."""
    plain = decoded_type(kind)
    return bool(
        pa.types.is_string(plain)
        or pa.types.is_large_string(plain)
        or pa.types.is_string_view(plain)
        or pa.types.is_null(plain)
    )
