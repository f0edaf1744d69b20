"""`autodp process` for real: from file to file on a Ray of its own, on a bucket, and killed at any stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from actors.storage.storage import Storage
from autodp_ray.applying.output_record import RECORD
from tests.integration.conftest import write_dataset
from tests.integration.process_command import Command, balance, numbers

pytestmark = pytest.mark.ray
NUM_ROWS = 600
SETTINGS = ("pool.part_rows=20", "pool.max_workers=2", "pool.file_bytes=10000")
"""So that the output is of many files."""
WORK = ".out.autodp-work"


@pytest.fixture
def command(tmp_path: Path, tiny_model: Path) -> Command:
    write_dataset(tmp_path / "data.jsonl", num_rows=NUM_ROWS)
    return Command(folder=tmp_path, model=tiny_model, settings=SETTINGS)


def some(folder: Path, pattern: str, at_least: int) -> Callable[[], bool]:
    return lambda: len(list(folder.glob(pattern))) >= at_least


def written(folder: Path) -> dict[str, bytes]:
    """The files of an output, and whatever else was left there."""
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file() and each.name != RECORD}


MOMENTS = {
    "reading": (f"{WORK}/input-*/rows/part-*.arrow", 3),
    "row operators": (f"{WORK}/cache/**/stage-0/finished/*.json", 3),
    "near-duplicates": (f"{WORK}/cache/**/stage-0/manifest.json", 1),
    "their exchange": (f"{WORK}/cache/**/exchange/????????-*.arrow", 1),
    "writing": ("out/data-*.jsonl", 2),
}
"""What lies in the folder when the driver is killed."""


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param(("row operators",), id="once"),
        pytest.param(tuple(MOMENTS), id="again and again", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_killed_at_any_stage_the_same_command_writes_the_same_bytes(command: Command, moments: tuple[str, ...]) -> None:
    whole, _ = command.finish("data.jsonl", "whole")
    for moment in moments:
        command.kill_once(some(command.folder, *MOMENTS[moment]), "data.jsonl", "out")
    done, said = command.finish("data.jsonl", "out")
    assert f"{NUM_ROWS} rows read, 1 quarantined" in said
    assert written(command.folder / "out") == written(command.folder / "whole")
    assert numbers(done) == numbers(whole)
    assert balance(done) == done["rows_in"] == NUM_ROWS + 1
    assert not (command.folder / WORK).exists()


@pytest.mark.slow
def test_a_bucket_is_processed_by_workers_and_the_table_tells_where_rows_went(
    command: Command, s3_bucket: Storage
) -> None:
    place = s3_bucket.folder(f"process-{command.folder.name}")
    place.write_bytes("in/data.jsonl", (command.folder / "data.jsonl").read_bytes())
    here, _ = command.finish()
    done, _ = command.finish(place.uri("in"), place.uri("out"))
    assert numbers(done) == numbers(here)
    pieces = [name for name in place.names("out") if name.startswith("data-")]
    assert len(pieces) > 1
    assert b"".join(place.read_bytes(f"out/{name}") for name in pieces) == (command.folder / "out.jsonl").read_bytes()
    assert place.names() == ["in", "out"]


@pytest.mark.slow
def test_a_dataset_beside_an_index_in_a_bucket_loses_copies_of_earlier_rows_whatever_is_killed(
    command: Command, s3_bucket: Storage
) -> None:
    folder, index = command.folder, s3_bucket.uri(f"index-{command.folder.name}")
    write_dataset(folder / "more.jsonl", num_rows=NUM_ROWS + 200)
    first, _ = command.finish("data.jsonl", "first", "--index", index)
    for moment in ("their exchange", "near-duplicates", "writing"):
        command.kill_once(some(folder, *MOMENTS[moment]), "more.jsonl", "out", "--index", index)
    done, said = command.finish("more.jsonl", "out", "--index", index)
    assert f"the index knew {first['rows_out']} rows; {done['rows_out']} of this output joined them" in said
    assert balance(done) == done["rows_in"] == NUM_ROWS + 201
    command.finish("more.jsonl", "alone")
    lines = {name: lines_of(folder / name) for name in ("first", "out", "alone")}
    known = set(lines["first"])
    assert lines["out"] == [line for line in lines["alone"] if line not in known]
    assert command.finish("more.jsonl", "again", "--index", index)[0]["rows_out"] == 0


def lines_of(folder: Path) -> list[bytes]:
    return b"".join(data for _, data in sorted(written(folder).items())).splitlines()
