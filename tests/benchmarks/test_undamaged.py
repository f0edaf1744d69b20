"""Runs on undamaged data: which rows their claims are tried on again, and when a claim is denied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from autodp_ray.cluster.ray import Cluster
from autodp_ray.progress import Silent
from autodp_ray.runs.open_run import RunOptions, open_run
from autodp_ray.runs.phases import run_search
from benchmarks.gates import judge, load_bars
from benchmarks.report import read_report
from benchmarks.undamaged import NUM_FRESH, RUN_SEEDS, is_denied, left_out, tried_again
from operators.rows.record import RECORD_SCHEMA
from tests.autodp_ray.comparing.comparing_fakes import CLUSTER, Lab

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "undamaged.json"

CONFIRMED = {"gain": 0.02, "low": 0.01, "high": 0.03}


@contextmanager
def on_cluster() -> Iterator[Cluster]:
    """Stands in for Ray."""
    yield CLUSTER


@pytest.mark.parametrize(("gain", "denied"), [(0.001, False), (0.0, True), (-0.02, True)])
@pytest.mark.parametrize("rows", ["test", "unsampled"])
def test_a_claim_is_denied_where_fresh_trainings_show_no_gain_on_either_rows(
    rows: str, gain: float, denied: bool
) -> None:
    found = {"test": CONFIRMED, "unsampled": CONFIRMED, rows: {"gain": gain, "low": gain - 0.1, "high": gain + 0.1}}
    assert is_denied(found) == denied


def test_rows_left_out_of_the_sample_are_whole_ones_that_nothing_was_trained_on() -> None:
    rows: list[dict[str, str | None]] = [{"id": name, "question": "Why?", "answer": "So."} for name in "abcd"]
    rows[2]["answer"] = None
    train = pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)
    assert left_out(train, sampled=pa.chunked_array([["b"]]))["id"].to_pylist() == ["a", "d"]


def test_every_run_is_in_the_report_and_no_claim_was_denied() -> None:
    figures = read_report(RESULT).figures
    assert list(figures["by_run"]) == [f"seed_{seed}" for seed in RUN_SEEDS]
    (gate,) = judge(load_bars()["undamaged"], figures, smoke=False)
    assert gate.ok
    assert all((one["fresh"] is not None) == (one["claim"] == "confirmed") for one in figures["by_run"].values())


def test_a_confirmed_strategy_is_trained_again_from_seeds_that_its_run_did_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path, monkeypatch)
    opened = open_run(RunOptions(config_path="quick.yaml", run_dir="run", strategies="cleaning"))
    with opened.folder.locked():
        assert opened.finished_result() is None
        result = run_search(opened, connect=on_cluster, progress=Silent())
    assert result.claim == "confirmed"
    used = {job.seed for job in lab.trainer.jobs}
    num_before = len(lab.trainer.jobs)
    found = tried_again(opened, result, connect=on_cluster)
    fresh = [job.seed for job in lab.trainer.jobs[num_before:]]
    assert len(fresh) == 2 * NUM_FRESH
    assert not used & set(fresh)
    assert {name: each["gain"] for name, each in found.items()} == pytest.approx({"test": 0.5, "unsampled": 0.5})
    assert not is_denied(found)
