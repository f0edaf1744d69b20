"""Datasets from files onto storage: the rows that one reader gives, however they are cut and whoever reads them."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from actors.data import many_jobs
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import MANIFEST, StoredDataset
from actors.storage.storage import Storage
from autodp_ray.ingest.id_files import read_hashes
from autodp_ray.ingest.store_dataset import StoredInput, store_dataset
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.layout_scan import scan_input, scan_layout
from autodp_ray.records.quarantine import QUARANTINE_FILE, Quarantine
from autodp_ray.records.reader import read_records
from autodp_ray.records.splits.split_reader import SplitReader
from operators.contract.errors import InputError, RunError

SMALL = PoolConfig(part_rows=7)


@pytest.fixture
def without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """All work is done in this process, one job after the other, whatever Ray an earlier test is connected to."""
    monkeypatch.setattr(many_jobs, "has_workers", lambda: False)


def lines_of(num: int, *, seed: int = 0) -> list[str]:
    """Rows with exact copies, broken lines, empty rows, objects laid out over lines and missing values."""
    draw = random.Random(seed)
    lines: list[str] = []
    for n in range(num):
        row: dict[str, object] = {"question": f"q{n % 40}", "answer": f"a{n % 3}", "n": n % 2}
        if draw.random() < 0.1:
            row["note"] = draw.choice(["", "无", "some"])
        kind = draw.random()
        lines.append(json.dumps(row) if kind < 0.9 else json.dumps(row, indent=1) if kind < 0.94 else "{broken")
        if kind > 0.98:
            lines += [json.dumps({"question": None, "answer": None}), '[{"question": "x", "answer": "y"}]']
    return lines


def write(path: Path, lines: list[str]) -> DatasetConfig:
    path.write_text("\n".join(lines), encoding="utf-8")
    return DatasetConfig(path=str(path))


def stored(
    config: DatasetConfig, folder: Path, *, split_bytes: int | None = None, pool: PoolConfig = SMALL, **more: object
) -> tuple[StoredInput, bytes]:
    """What is stored, and the bytes of the quarantine."""
    with Quarantine(Storage.at(folder / "quarantine")) as quarantine:
        found = store_dataset(
            config,
            out=Storage.at(folder / "out"),
            quarantine=quarantine,
            pool=pool,
            split_bytes=split_bytes,
            **more,  # type: ignore[arg-type]
        )
    file = folder / "quarantine" / QUARANTINE_FILE
    return found, file.read_bytes() if file.exists() else b""


def by_one_reader(config: DatasetConfig, folder: Path) -> tuple[pa.Table, bytes]:
    """The rows and the quarantine of a reader of the whole input."""
    with Quarantine(Storage.at(folder / "whole")) as quarantine:
        table = pa.concat_tables(list(read_records(config, on_quarantine=quarantine)))
    return table.replace_schema_metadata(None), (folder / "whole" / QUARANTINE_FILE).read_bytes()


@pytest.mark.parametrize("split_bytes", [None, 20_000, 3_000, 400, 60])
@pytest.mark.parametrize("part_rows", [3, 1000])
def test_what_is_stored_is_what_one_reader_reads(tmp_path: Path, split_bytes: int | None, part_rows: int) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(400))
    found, quarantined = stored(
        config, tmp_path, split_bytes=split_bytes, pool=PoolConfig(part_rows=part_rows), for_models=True
    )
    table, expected = by_one_reader(config, tmp_path)
    assert found.dataset.read().combine_chunks().equals(table.combine_chunks())
    assert quarantined == expected
    assert found.layout == scan_layout(config)
    assert found.num_quarantined == len(expected.splitlines()) == sum(found.quarantine_reasons.values())
    assert len(set(table["id"].to_pylist())) == table.num_rows
    found.dataset.verify()
    assert max(part.num_rows for part in found.dataset.manifest.parts) <= part_rows


def test_csv_is_stored_alike_wherever_it_is_cut(tmp_path: Path) -> None:
    draw = random.Random(0)
    cells = ['"two\nlines, and ""quotes"""', "plain", "", '"1,2\r\n3,4\n"', "问题"]
    rows = [f"{n % 50},{draw.choice(cells)},{draw.choice(cells)}" for n in range(300)]
    for at in (20, 111, 290):
        rows[at] = '7,"a "quote" inside,x' if at % 2 else "a row,too short"
    (tmp_path / "a.csv").write_text("n,question,answer\n" + "\n".join(rows), encoding="utf-8")
    config = DatasetConfig(path=str(tmp_path / "a.csv"))
    table, expected = by_one_reader(config, tmp_path)
    assert table.num_rows > 200
    for split_bytes in (None, 3_000, 200):
        found, quarantined = stored(config, tmp_path / str(split_bytes), split_bytes=split_bytes)
        assert found.dataset.read().combine_chunks().equals(table.combine_chunks())
        assert quarantined == expected


def test_a_layout_that_is_known_needs_no_scan_and_gives_the_same(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(200))
    table, expected = by_one_reader(config, tmp_path)
    found, quarantined = stored(config, tmp_path, split_bytes=300, layout=scan_layout(config))
    assert found.dataset.read().combine_chunks().equals(table.combine_chunks())
    assert quarantined == expected


@pytest.mark.parametrize("split_bytes", [50, 700, 10**6])
def test_the_layout_does_not_depend_on_the_splits(tmp_path: Path, split_bytes: int) -> None:
    for seed in range(5):
        config = write(tmp_path / f"{seed}.jsonl", lines_of(100, seed=seed))
        assert scan_input(config, split_bytes=split_bytes).layout == scan_layout(config)


@pytest.mark.heavy
def test_rows_are_the_same_in_whatever_files_and_order_they_lie(tmp_path: Path) -> None:
    rows = [json.dumps({"question": f"q{n % 700}", "answer": f"a{n % 3}"}) + "\n" for n in range(20_000)]
    found: set[str] = set()
    for name, cut in (("one", [20_000]), ("two", [7_001, 20_000]), ("many", [*range(999, 20_000, 999), 20_000])):
        for is_shuffled in (False, True):
            folder = tmp_path / f"{name}-{is_shuffled}"
            folder.mkdir()
            files = ["".join(rows[start:stop]) for start, stop in zip([0, *cut], cut, strict=False)]
            random.Random(1).shuffle(files if is_shuffled else [])
            for at, text in enumerate(files):
                (folder / f"{at:02d}.jsonl").write_text(text)
            config = DatasetConfig(path=str(folder))
            found.add(stored(config, folder, split_bytes=30_000, pool=PoolConfig())[0].dataset.content_hash)
    assert len(found) == 1


def test_input_and_parts_may_lie_in_a_bucket(tmp_path: Path, s3_bucket: Storage) -> None:
    plain = write(tmp_path / "a.jsonl", lines_of(100))
    table, expected = by_one_reader(plain, tmp_path)
    place = s3_bucket.folder("stored")
    place.write_bytes("in/a.jsonl", (tmp_path / "a.jsonl").read_bytes())
    for _ in range(2):
        with Quarantine(place.folder("quarantine")) as quarantine:
            found = store_dataset(
                DatasetConfig(path=place.uri("in/a.jsonl")),
                out=place.folder("out"),
                quarantine=quarantine,
                pool=SMALL,
                split_bytes=4000,
            )
        assert found.dataset.read().combine_chunks().equals(table.combine_chunks())
        assert found.num_quarantined == len(expected.splitlines())


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.csv", "a.json"])
def test_other_formats_are_stored_as_one_reader_reads_them(tmp_path: Path, name: str) -> None:
    rows = [{"question": f"q{n % 40}", "answer": "a", "n": n % 2} for n in range(200)]
    table = pa.Table.from_pylist(rows)
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table, path, row_group_size=30)
    elif name == "a.arrow":
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=30)
    elif name == "a.csv":
        path.write_text("question,answer,n\n" + "".join(f"{row['question']},a,{row['n']}\n" for row in rows))
    else:
        path.write_text(json.dumps(rows))
    config = DatasetConfig(path=str(path))
    found, _ = stored(config, tmp_path, split_bytes=200)
    read = pa.concat_tables(list(read_records(config, on_quarantine=lambda row: None)))
    assert found.dataset.read().combine_chunks().equals(read.replace_schema_metadata(None).combine_chunks())


@pytest.mark.parametrize("compression", ["gz", "bz2", "zst", "xz"])
def test_compressed_files_are_stored_too(tmp_path: Path, compression: str) -> None:
    import bz2
    import gzip
    import lzma

    pack: dict[str, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
    }
    plain = write(tmp_path / "a.jsonl", lines_of(200))
    table, _ = by_one_reader(plain, tmp_path)
    folder = tmp_path / "packed"
    folder.mkdir()
    for half in (0, 1):
        lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
        cut = lines.index('{"question": "q0", "answer": "a1", "n": 0}\n', 100)
        text = "".join(lines[:cut] if half == 0 else lines[cut:])
        (folder / f"{half}.jsonl.{compression}").write_bytes(pack[compression](text.encode()))
    found, _ = stored(DatasetConfig(path=str(folder)), tmp_path, split_bytes=100)
    assert found.dataset.read()["id"].to_pylist() == table["id"].to_pylist()


def test_a_limit_is_kept(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(200)).model_copy(update={"limit": 50})
    table, expected = by_one_reader(config, tmp_path)
    found, quarantined = stored(config, tmp_path, split_bytes=100)
    assert found.dataset.read()["id"].to_pylist() == table["id"].to_pylist()
    assert quarantined == expected


@pytest.mark.parametrize("split_bytes", [None, 100])
def test_a_given_id_that_is_repeated_is_an_error_with_both_places(tmp_path: Path, split_bytes: int | None) -> None:
    lines = [json.dumps({"id": f"r{n % 90}", "question": "q", "answer": "a"}) for n in range(100)]
    config = write(tmp_path / "a.jsonl", lines)
    with pytest.raises(InputError, match=r"id 'r0'.*a\.jsonl line 1 and .*a\.jsonl line 91; make the ids unique"):
        stored(config, tmp_path, split_bytes=split_bytes)


@pytest.mark.parametrize("text", ["{broken\n" * 9, '{"question": "", "answer": ""}\n' * 9])
def test_an_input_without_a_row_is_an_error_as_the_reader_has_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    config = DatasetConfig(path=str(path))
    with pytest.raises(InputError) as expected:
        list(read_records(config, on_quarantine=lambda row: None))
    with pytest.raises(InputError) as raised:
        stored(config, tmp_path, split_bytes=20)
    assert str(raised.value) == str(expected.value)


class _Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.usefixtures("without_workers")
def test_what_was_read_before_a_fault_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(300))
    read: list[int] = []
    plain = SplitReader.__init__

    def counted(self: object, split: object, **more: object) -> None:
        read.append(split.index)  # type: ignore[attr-defined]
        if len(read) == 6:
            raise _Killed
        plain(self, split, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(SplitReader, "__init__", counted)
    layout = scan_layout(config)
    read.clear()
    with pytest.raises(_Killed):
        stored(config, tmp_path, split_bytes=1000, layout=layout)
    assert StoredDataset.open(Storage.at(tmp_path / "out")) is None
    first, quarantined = stored(config, tmp_path, split_bytes=1000, layout=layout)
    assert len(read) == len(set(read)) + 1, "only the split that broke off is read twice"
    again, quarantined_again = stored(config, tmp_path, split_bytes=1000, layout=layout)
    assert len(read) == len(set(read)) + 1
    table, expected = by_one_reader(config, tmp_path)
    for found in (first, again):
        assert found.dataset.read().combine_chunks().equals(table.combine_chunks())
        assert found.num_quarantined == len(expected.splitlines())
    assert quarantined == quarantined_again == expected


def test_a_lost_part_and_a_changed_input_are_read_anew(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(300))
    found, _ = stored(config, tmp_path, split_bytes=1000)
    (tmp_path / "out" / found.dataset.manifest.parts[5].file).write_bytes(b"damaged")
    again, _ = stored(config, tmp_path, split_bytes=1000)
    again.dataset.verify()
    assert again.dataset.content_hash == found.dataset.content_hash
    (tmp_path / "a.jsonl").write_text("\n".join(lines_of(40, seed=3)))
    changed, quarantined = stored(config, tmp_path, split_bytes=1000)
    table, expected = by_one_reader(config, tmp_path)
    assert changed.dataset.read().combine_chunks().equals(table.combine_chunks())
    assert quarantined == expected
    listed = {part.file for part in changed.dataset.manifest.parts}
    assert listed == {name for name in Storage.at(tmp_path / "out").names() if name.startswith("part-")}


def test_large_datasets_have_larger_parts_unless_models_read_them(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", [json.dumps({"question": f"q{n}" * 9, "answer": "a"}) for n in range(4000)])
    pool = PoolConfig(part_rows=4, part_bytes=9000)
    large, _ = stored(config, tmp_path / "large", pool=pool)
    small, _ = stored(config, tmp_path / "small", pool=pool, for_models=True)
    assert {part.num_rows for part in small.dataset.manifest.parts} == {4}
    assert 40 < len(large.dataset.manifest.parts) < 200
    assert large.dataset.content_hash == small.dataset.content_hash


def test_rows_of_many_bytes_make_parts_of_few_rows(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", [json.dumps({"question": "q" * 5000, "answer": f"{n}"}) for n in range(2000)])
    found, _ = stored(config, tmp_path, pool=PoolConfig(part_rows=500, part_bytes=100_000), for_models=True)
    assert max(part.num_rows for part in found.dataset.manifest.parts) == 500
    assert found.dataset.num_rows == 2000


def test_a_damaged_file_of_hashes_is_told(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(50))
    stored(config, tmp_path)
    file = tmp_path / "out" / "hashes-000000.bin"
    for data in (file.read_bytes()[:-4], b"", b"x"):
        file.write_bytes(data)
        with pytest.raises(RunError, match=r"hashes-000000.bin is gone or damaged"):
            read_hashes(Storage.at(tmp_path / "out"), 0, 0, 256)


def test_progress_counts_bytes_up_to_the_input_s_size(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(300))
    seen: list[tuple[int, int]] = []
    stored(config, tmp_path, split_bytes=1000, on_progress=lambda done, total: seen.append((done, total)))
    assert len(seen) > 3
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_bad_rows_are_told_by_their_own_lines(tmp_path: Path) -> None:
    bad: list[BadRow] = []
    config = write(tmp_path / "a.jsonl", lines_of(300))
    list(read_records(config, on_quarantine=bad.append))
    _, quarantined = stored(config, tmp_path, split_bytes=500, layout=scan_layout(config))
    assert [json.loads(line)["line"] for line in quarantined.splitlines()] == [row.line for row in bad]


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("num_cpus", [1.0, 2.0, 4.0])
def test_workers_store_the_same_however_many_there_are(tmp_path: Path, num_cpus: float) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(20_000))
    pool = PoolConfig(num_cpus_per_worker=num_cpus, part_rows=700)
    found, quarantined = stored(config, tmp_path, split_bytes=100_000, pool=pool)
    table, expected = by_one_reader(config, tmp_path)
    assert found.dataset.read().combine_chunks().equals(table.combine_chunks())
    assert quarantined == expected


@pytest.mark.usefixtures("local_ray")
def test_a_worker_that_dies_loses_nothing(tmp_path: Path) -> None:
    config = write(tmp_path / "a.jsonl", lines_of(40_000))
    victims: list[int] = []

    def kill_a_reader() -> None:
        until = time.monotonic() + 60
        while not victims and time.monotonic() < until:
            victims.extend(_kill_one_of(os.getpid()))
            time.sleep(0.002)

    killer = threading.Thread(target=kill_a_reader)
    killer.start()
    found, quarantined = stored(config, tmp_path, split_bytes=100_000, layout=scan_layout(config))
    killer.join()
    table, expected = by_one_reader(config, tmp_path)
    assert victims
    assert found.dataset.read().combine_chunks().equals(table.combine_chunks())
    assert quarantined == expected
    assert (tmp_path / "out" / MANIFEST).exists()


def _kill_one_of(driver: int) -> list[int]:
    """Kill one worker of this driver's Ray that reads now."""
    for pid in _descendants(driver):
        with suppress(OSError):
            if "ray::_attempted" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
                return [pid]
    return []


def _descendants(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            children += map(int, task.read_text().split())
    return children + [below for child in children for below in _descendants(child)]
