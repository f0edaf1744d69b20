"""A table of trainings with their scores item by item, as a Parquet file that is checked in.

A line is one training: strategy, seed, and a numerator for each held-out item; items and their
denominators are the same for all. The file's metadata says from which setting, versions and command it comes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from autodp_ray.statistics import Floats, ItemScores
from autodp_ray.strategy import NONE, Strategy

_SCHEMA = pa.schema(
    [
        ("strategy", pa.string()),
        ("seed", pa.int32()),
        ("numerators", pa.list_(pa.float32())),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredTraining:
    """One training: r on any items is the sum of their numerators over that of their denominators."""

    strategy: Strategy
    seed: int
    numerators: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """Trainings scored on the same items; the first `num_validation` of them are the validation rows."""

    trainings: tuple[ScoredTraining, ...]
    denominators: Floats
    num_validation: int
    made: Mapping[str, str]
    """Command, versions and the like, by name."""

    def of(self, strategy: Strategy) -> tuple[ScoredTraining, ...]:
        """The trainings of a strategy, by seed."""
        return tuple(sorted((one for one in self.trainings if one.strategy == strategy), key=lambda one: one.seed))

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """Those that were trained, without the empty one, the shortest first."""
        found = dict.fromkeys(one.strategy for one in self.trainings if one.strategy != NONE)
        return tuple(sorted(found, key=lambda one: (len(one), one.teams)))

    @property
    def holds(self) -> str:
        """How many strategies were trained from how many seeds, in words."""
        counts = Counter(len(self.of(one)) for one in self.strategies)
        parts = [f"{number} strategies from {seeds} seeds" for seeds, number in sorted(counts.items(), reverse=True)]
        return ", ".join([f"no processing from {len(self.of(NONE))} seeds", *parts])

    @property
    def validation(self) -> slice:
        return slice(0, self.num_validation)

    @property
    def test(self) -> slice:
        return slice(self.num_validation, None)

    def score(self, training: ScoredTraining, items: slice) -> float:
        """r of a training on some of the items."""
        return float(training.numerators[items].sum() / self.denominators[items].sum())

    def items(self, training: ScoredTraining, items: slice) -> ItemScores:
        """A training's scores on some of the items, one by one."""
        return item_scores(training.numerators[items], self.denominators[items])


def item_scores(numerators: Floats, denominators: Floats) -> ItemScores:
    """Scores of items that are told apart by their numbers alone."""
    ids = tuple(map(str, range(len(numerators))))
    return ItemScores(ids=ids, numerators=tuple(numerators.tolist()), denominators=tuple(denominators.tolist()))


def write_table(table: ScoreTable, path: Path) -> None:
    """Write the file; the same table gives the same bytes."""
    lines = [
        {
            "strategy": str(one.strategy),
            "seed": one.seed,
            "numerators": one.numerators.astype(np.float32),
        }
        for one in table.trainings
    ]
    about = {
        "made": json.dumps(dict(table.made), sort_keys=True),
        "holds": table.holds,
        "denominators": json.dumps(table.denominators.tolist()),
        "num_validation": str(table.num_validation),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(lines, schema=_SCHEMA.with_metadata(about)), path, compression="zstd")


def read_table(path: Path) -> ScoreTable:
    """The table that `write_table` wrote."""
    stored = pq.read_table(path)
    about = {key.decode(): value.decode() for key, value in stored.schema.metadata.items()}
    trainings = tuple(
        ScoredTraining(
            strategy=Strategy.from_text(line["strategy"]),
            seed=line["seed"],
            numerators=np.asarray(line["numerators"], dtype=np.float64),
        )
        for line in stored.to_pylist()
    )
    return ScoreTable(
        trainings=trainings,
        denominators=np.asarray(json.loads(about["denominators"]), dtype=np.float64),
        num_validation=int(about["num_validation"]),
        made=json.loads(about["made"]),
    )
