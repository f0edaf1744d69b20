"""What real runs claim on undamaged data, and whether fresh trainings bear it out.

Each run is an `autodp run` of the quickstart without damage, of one round, with a seed of its own for splits, sample,
replies and trainings. A strategy whose claim was confirmed is trained again, as is no processing, from seeds that its
run did not use. It is scored on the run's test rows and on rows that nothing was trained on: those that the sample left
out. The same command goes on where it stopped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import connected, interruptible, storage_locations
from autodp_ray.config.run_config import load_config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, find_prepared
from autodp_ray.progress import PlainLines
from autodp_ray.result import RunResult
from autodp_ray.runs.evaluation import ConnectFn, EvaluationInputs
from autodp_ray.runs.launch import run_opened
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.statistics import Claim, ItemScores, paired_interval
from autodp_ray.strategies.strategy_evaluation import CONFIRM_SEED_OFFSET
from autodp_ray.strategy import NONE, Strategy
from benchmarks.protocol import Figures
from benchmarks.strategy_table import CONFIG, ONE_THREAD, SMOKE
from operators.rows.record import is_complete

SETTINGS = ("dataset.corruption=none", "search.max_rounds=1", ONE_THREAD)
"""One round, so that several runs can be had on two cores."""
RUN_SEEDS = range(1, 6)
"""A longer range goes on from the runs that are there."""
NUM_FRESH = 6
"""Trainings on each side: twice those of a claim."""
FRESH_SEED_OFFSET = 2 * CONFIRM_SEED_OFFSET
"""Beyond the seeds of searches and of claims."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshRows:
    """The rows that a confirmed strategy is tried on again."""

    test: pa.Table
    """Those of the run's own claim."""
    unsampled: pa.Table
    """Complete train rows that the sample left out."""

    @classmethod
    def of(cls, prepared: Prepared) -> FreshRows:
        """Those of a run."""
        test = prepared.test.read()
        train = prepared.train.read(test.column_names)
        return cls(test=test, unsampled=left_out(train, sampled=prepared.sample.read(["id"])["id"]))


def left_out(train: pa.Table, *, sampled: pa.ChunkedArray) -> pa.Table:
    """The complete rows whose ids are not among those of the sample."""
    is_sampled = pc.is_in(train["id"], value_set=sampled)
    return train.filter(pc.and_(pc.invert(is_sampled), is_complete(train)))


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Choices and claims of each run, and what fresh trainings make of those that were confirmed."""
    size = SMOKE if smoke else ()
    if rows is not None:
        size = (*size, f"dataset.limit={rows}")
    seeds = RUN_SEEDS[:1] if smoke else RUN_SEEDS
    with interruptible():
        found = {f"seed_{seed}": _measured(seed, size, smoke=smoke) for seed in seeds}
    claims = [one["fresh"] for one in found.values() if one["fresh"] is not None]
    return {
        "runs": len(found),
        "confirmed": len(claims),
        "denied": sum(map(is_denied, claims)),
        "setting": f"{CONFIG} --set {' --set '.join(SETTINGS)} --set seed=SEED",
        "fresh_trainings_on_each_side": NUM_FRESH,
        "by_run": found,
    }


def is_denied(fresh: Mapping[str, Mapping[str, float]]) -> bool:
    """Whether fresh trainings show no gain where one was claimed."""
    return any(interval["gain"] <= 0 for interval in fresh.values())


def _measured(seed: int, size: Sequence[str], *, smoke: bool) -> dict[str, Any]:
    config = load_config(CONFIG, [*SETTINGS, f"seed={seed}", *size])
    runs, _ = storage_locations(config.storage)
    folder = runs.folder(f"undamaged{'_smoke' if smoke else ''}/seed_{seed}")
    options = RunOptions(config_path=CONFIG, overrides=(*SETTINGS, f"seed={seed}", *size), run_dir=folder.location)
    opened, progress = open_run(options), PlainLines(sys.stderr)
    result = run_opened(opened, progress=progress)
    is_confirmed = result.claim == Claim.CONFIRMED
    return {**figures_of(result), "fresh": tried_again(opened, result) if is_confirmed else None}


def figures_of(result: RunResult) -> dict[str, Any]:
    """What a run chose and claimed."""
    return {
        "claim": result.claim,
        "strategies_scored": sum(len(one.strategies) for one in result.rounds),
        "best_measured": result.best_measured,
        "validation": _interval(result.best_score, result.ci95),
        "noise_floor": result.noise_floor,
        "tested": result.tested,
        "test": _interval(result.test_score, result.test_ci95),
        "detectable_gain": None if result.confirmation is None else result.confirmation.detectable_gain,
    }


def tried_again(opened: OpenRun, result: RunResult, *, connect: ConnectFn = connected) -> Mapping[str, Any]:
    """What fresh trainings of the tested strategy gain over fresh ones of no processing, by the rows of `FreshRows`."""
    assert result.tested is not None
    storage = opened.folder.storage
    with opened.folder.locked(), ExitStack() as stack:
        journal = Journal(storage)
        prepared = find_prepared(storage, journal)
        rows = FreshRows.of(prepared)
        inputs = EvaluationInputs(
            config=opened.config,
            prepared=prepared,
            run=storage,
            run_id=opened.folder.run_id,
            cache=opened.cache_storage,
            journal=journal,
            progress=PlainLines(sys.stderr),
        )
        evaluator = inputs.start(cache(lambda: stack.enter_context(connect())), stack).evaluator
        first = opened.config.evaluation.seed + FRESH_SEED_OFFSET
        ours, theirs = evaluator.trained(
            [Strategy.from_text(result.tested), NONE],
            _written(storage.folder("fresh_rows"), rows),
            seeds=range(first, first + NUM_FRESH),
        )
    return {name: _gain_on(part, ours, theirs) for name, part in (("test", rows.test), ("unsampled", rows.unsampled))}


def _written(folder: Storage, rows: FreshRows) -> StoredDataset:
    return StoredDataset.write(folder, [rows.test, rows.unsampled])


def _gain_on(rows: pa.Table, ours: Sequence[ItemScores], theirs: Sequence[ItemScores]) -> Mapping[str, float]:
    ids = set(rows["id"].to_pylist())
    interval = paired_interval(*([_only(ids, one) for one in side] for side in (ours, theirs)), seed=0)
    return {"rows": len(ids), "gain": interval.estimate, "low": interval.low, "high": interval.high}


def _only(ids: set[str], items: ItemScores) -> ItemScores:
    places = [place for place, key in enumerate(items.ids) if key in ids]
    return replace(
        items,
        ids=tuple(items.ids[place] for place in places),
        numerators=tuple(items.numerators[place] for place in places),
        denominators=tuple(items.denominators[place] for place in places),
    )


def _interval(gain: float | None, ends: tuple[float, float] | None) -> Mapping[str, float] | None:
    return None if gain is None or ends is None else {"gain": gain, "low": ends[0], "high": ends[1]}
