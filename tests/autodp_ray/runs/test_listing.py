"""A listing names every run of a folder in its state, newest first, and one broken run keeps no other from it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from selectolax.lexbor import LexborHTMLParser

from actors.storage.storage import Storage
from autodp_ray.reporting.run_index import ListedRun
from autodp_ray.result import RunResult
from autodp_ray.runs.listing import list_runs, write_index
from operators.contract.errors import InputError

_CONFIG: dict[str, object] = {"run_id": "1", "settings": {}, "config_path": None, "cache": "c"}


def run_in(runs: Storage, name: str, result: RunResult | str | None, *, report: bool = False) -> None:
    runs.write_text(f"{name}/config.json", json.dumps(_CONFIG))
    if result is not None:
        text = result if isinstance(result, str) else result.to_json()
        runs.write_text(f"{name}/result.json", text)
    if report:
        runs.write_text(f"{name}/report.html", "<!doctype html>")


DONE = RunResult(
    status="done",
    claim="confirmed",
    best_strategy="cleaning",
    tested="cleaning",
    test_score=0.026,
    test_ci95=(0.004, 0.05),
    dataset="data <b>.jsonl",
)


def every_state(runs: Storage) -> None:
    run_in(runs, "done #1", DONE, report=True)
    run_in(runs, "failed", RunResult(status="failed", error="no space left"))
    run_in(runs, "killed", RunResult(status="running"))
    run_in(runs, "begun", None)
    run_in(runs, "damaged", "{")
    run_in(runs, "compared", None)
    runs.write_text("compared/compare.json", "{}")
    runs.write_text("compared/compare.html", "<!doctype html>")
    runs.write_text("strange/config.json", "[]")
    runs.write_text("notes/readme.txt", "no run")


def by_name(runs: list[ListedRun]) -> dict[str, ListedRun]:
    return {run.name: run for run in runs}


def check_every_state(storage: Storage) -> None:
    every_state(storage)
    folder, runs = list_runs(storage)
    found = by_name(runs)
    assert {name: run.state for name, run in found.items()} == {
        "done #1": "done",
        "failed": "failed",
        "killed": "unfinished",
        "begun": "unfinished",
        "damaged": "broken",
        "compared": "comparison",
        "strange": "broken",
    }
    assert found["failed"].note == "no space left"
    assert (found["done #1"].claim, found["done #1"].dataset) == ("confirmed", "data <b>.jsonl")
    assert found["done #1"].changed is not None
    page = LexborHTMLParser(folder.read_text(write_index(folder, runs).rpartition("/")[2]))
    links = {link.text(): link.attributes["href"] for link in page.css("a")}
    assert links == {"done #1": "done%20%231/report.html", "compared": "compared/compare.html"}
    assert "+0.0260 [+0.0040, +0.0500]" in page.text()
    assert "data <b>.jsonl" in page.text()


def test_runs_of_every_state_are_listed_and_linked(tmp_path: Path) -> None:
    check_every_state(Storage.at(tmp_path))


def test_runs_of_a_bucket_are_listed_as_those_of_a_folder(s3_bucket: Storage) -> None:
    check_every_state(s3_bucket.folder("listed"))


def test_a_storage_is_asked_for_the_runs_in_it(tmp_path: Path) -> None:
    run_in(Storage.at(tmp_path / "runs"), "one", DONE)
    folder, runs = list_runs(Storage.at(tmp_path))
    assert (folder.location, [run.name for run in runs]) == (str(tmp_path / "runs"), ["one"])


def test_the_run_that_changed_last_comes_first(tmp_path: Path) -> None:
    for name, at in (("b", 100), ("a", 300), ("c", 200)):
        run_in(Storage.at(tmp_path), name, DONE)
        os.utime(tmp_path / name / "result.json", (at, at))
    assert [run.name for run in list_runs(Storage.at(tmp_path))[1]] == ["a", "c", "b"]


def test_a_folder_without_runs_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no runs"):
        list_runs(Storage.at(tmp_path))


def test_a_page_of_somebody_else_is_never_replaced_and_our_own_is(tmp_path: Path) -> None:
    runs = Storage.at(tmp_path)
    run_in(runs, "one", DONE)
    _, found = list_runs(runs)
    write_index(runs, found)
    write_index(runs, found)
    (tmp_path / "index.html").write_text("<!doctype html><title>my autodp notes</title>")
    with pytest.raises(InputError, match="no page of this program"):
        write_index(runs, found)
    assert "my autodp notes" in (tmp_path / "index.html").read_text()


def test_no_secret_of_a_storage_stands_on_the_page(tmp_path: Path) -> None:
    run_in(Storage.at(tmp_path), "one", RunResult(status="failed", error="s3://KEY:hunter2secret@bucket/p is gone"))
    folder, runs = list_runs(Storage.at(tmp_path))
    write_index(folder, runs)
    assert "hunter2secret" not in (tmp_path / "index.html").read_text()
