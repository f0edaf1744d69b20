"""What one process holds of each row while a run is prepared: the driver, which alone knows something of all rows.

The rows are numbers and ids, as workers send them, so the figures are of what grows with the rows and of nothing else.
Each size has a process of its own; bytes a row are the growth from half of the rows to all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import numpy as np
import pyarrow as pa

from actors.data.exchange_files import SentFile
from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.config.splits_config import SplitsConfig
from autodp_ray.preparation.row_index import IndexedPart, MergedParts, RowIndex
from autodp_ray.preparation.splits import assign_splits
from autodp_ray.samplers.random import RandomSampler
from autodp_ray.sampling.sampler import draw_candidates, draw_sample
from benchmarks.machine import peak_bytes, set_back_peak
from benchmarks.protocol import Figures
from operators.likeness.row_likeness import SaidKeys

ROWS, SMOKE_ROWS = 1_000_000, 40_000
PART_ROWS = 20_000
NOTHING = SentFile(name="", pieces={}, note=None)
HELD = 24 << 30
"""Bytes of a process that the rows are told for."""
T = TypeVar("T")

PHASES = ("group", "split", "sample at random", "sample by embeddings")


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Bytes a row in the driver by phase, and the rows at which 24 GiB end."""
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    less, more = _peaks_in_own_process(rows // 2), _peaks_in_own_process(rows)
    grown = {phase: (more[phase] - less[phase]) / (rows - rows // 2) for phase in PHASES}
    most = max(grown.values())
    return {"rows": rows, "bytes_per_row": grown | {"most": most}, "rows_in_24_gib": HELD / most}


def _peaks_in_own_process(rows: int) -> Mapping[str, int]:
    code = f"import json; from benchmarks.memory import peaks; print(json.dumps(peaks({rows})))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def peaks(rows: int) -> dict[str, int]:
    """The peak memory of this process in each phase."""
    found: dict[str, int] = {}
    index = _measured(found, "group", lambda: _index(rows))
    splits = _measured(found, "split", partial(assign_splits, index, SplitsConfig()))
    ids, groups = index.ids.take(pa.array(splits.train)), splits.train_groups
    del index
    assert groups is not None
    drawn, chosen = SamplingConfig(method=RandomSampler()), SamplingConfig()
    _measured(found, "sample at random", lambda: draw_sample(ids, groups, drawn))
    _measured(found, "sample by embeddings", lambda: draw_candidates(ids, groups, chosen))
    return found


def _measured(found: dict[str, int], phase: str, step: Callable[[], T]) -> T:
    set_back_peak()
    done = step()
    found[phase] = peak_bytes()
    return done


def _index(rows: int) -> RowIndex:
    """Every fifth row is a copy of the one before it; one in a hundred has no answer."""
    places = np.arange(rows)
    groups = np.where(places % 5 == 4, places - 1, places)
    merged = MergedParts()
    for start in range(0, rows, PART_ROWS):
        merged.add(_part(start, min(start + PART_ROWS, rows)))
    return merged.index(groups, starts=np.array([0, rows]))


def _part(start: int, stop: int) -> IndexedPart:
    draw = np.random.default_rng(start)
    said = [draw.integers(1, 1 << 63, stop - start, dtype=np.uint64) for _ in range(4)]
    ids = pa.array([draw.bytes(16).hex() for _ in range(start, stop)], pa.large_string())
    complete = draw.random(stop - start) > 0.01
    keys = SaidKeys(systems=said[0], contexts=said[1], questions=said[2], answers=said[3])
    return IndexedPart(ids=ids, complete=complete, clean=None, said=keys, sent=NOTHING)
