"""The benchmark of whole datasets: what it makes, what it watches, and its way from files to files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.storage.storage import Storage
from benchmarks import __main__ as command
from benchmarks import throughput
from benchmarks.labelled_copies import damaged_row
from benchmarks.machine import peak_bytes, set_back_peak
from benchmarks.made_files import write_file
from benchmarks.protocol import Options
from benchmarks.report import command_of
from benchmarks.worker_watch import NodeWatch, Usage

MEGABYTE = 1 << 20
NUM_ROWS = 240
TITLE = "watched-worker"
"""How its command line begins: this process may have other children."""

WORKER = f"""
import sys, time
held = bytearray(64 * {MEGABYTE})
held[::4096] = b"x" * len(held[::4096])
until = time.process_time() + 0.4
while time.process_time() < until:
    pass
with open(sys.argv[1], "wb", buffering=0) as file:
    file.write(bytes(3 * {MEGABYTE}))
del held
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that takes 64 MB, computes, writes 3 MB, says that it is done, and waits."""
    arguments = [sys.executable, "-c", WORKER, str(tmp_path / "written")]
    named = [TITLE, *arguments[1:]]
    pipe = subprocess.PIPE
    with subprocess.Popen(named, executable=arguments[0], stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.kill()


def test_a_watch_tells_what_the_children_of_a_process_used(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None
    watch = NodeWatch(parent=os.getpid(), title=TITLE)
    assert worker.stdout.readline() == "done\n"
    used = watch.usage()
    assert used.processes == 1
    assert used.cpu_s >= 0.4
    assert 3 * MEGABYTE <= used.written_bytes < 4 * MEGABYTE
    assert 64 * MEGABYTE < used.peak_bytes < 200 * MEGABYTE
    watch.start()
    again = watch.usage()
    assert (again.cpu_s, again.written_bytes, again.processes) == (0, 0, 1)
    assert again.peak_bytes < used.peak_bytes - 32 * MEGABYTE
    assert NodeWatch(parent=os.getpid(), title="ray::").usage() == Usage()


def test_what_a_worker_started_counts_with_it(tmp_path: Path) -> None:
    spin = f"{sys.executable} -c 'import time\nwhile time.process_time() < 0.6: pass\ninput()'"
    script = f"exec 3<&0; {spin} <&3 & echo started; wait"
    with subprocess.Popen(
        [TITLE, "-c", script], executable="/bin/bash", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "started\n"
        watch = NodeWatch(parent=os.getpid(), title=TITLE)
        deadline = time.monotonic() + 30
        while watch.usage().cpu_s < 0.4 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert watch.usage().processes == 2
        assert watch.usage().cpu_s >= 0.4
        worker.communicate("\n")


def test_what_a_process_used_that_has_ended_still_counts(worker: subprocess.Popen[str]) -> None:
    assert worker.stdout is not None
    watch = NodeWatch(parent=os.getpid(), title=TITLE)
    worker.stdout.readline()
    before = watch.usage()
    worker.communicate()
    time.sleep(0.6)
    assert watch.usage() == before


def test_usages_add_up_and_the_peak_is_the_largest() -> None:
    found = Usage(cpu_s=1, written_bytes=2, peak_bytes=30, processes=1) + Usage(cpu_s=2, peak_bytes=10, processes=2)
    assert found == Usage(cpu_s=3, written_bytes=2, peak_bytes=30, processes=3)


def test_the_peak_of_this_process_can_be_set_back() -> None:
    held = bytearray(96 * MEGABYTE)
    held[::4096] = b"x" * len(held[::4096])
    high = peak_bytes()
    del held
    set_back_peak()
    assert peak_bytes() < high - 48 * MEGABYTE


def test_files_hold_the_same_rows_however_they_are_cut(tmp_path: Path) -> None:
    folder = Storage.at(tmp_path)
    whole, cut = folder.folder("whole"), folder.folder("cut")
    assert write_file(whole, 0, 50) == write_file(cut, 0, 13) + write_file(cut, 13, 50)
    assert whole.names() == ["rows-000000000000.jsonl"]
    assert cut.names() == ["rows-000000000000.jsonl", "rows-000000000013.jsonl"]
    content = whole.read_bytes(whole.names()[0])
    assert content == b"".join(map(cut.read_bytes, cut.names()))
    rows = [json.loads(line) for line in content.splitlines()]
    assert rows[17]["answer"] == damaged_row(17, language="english").answer
    assert len(rows) == 50


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("cleaning", "--storage", "s3://b/x"), "are for throughput, not for cleaning"),
        (("peers", "--workers", "1"), "are for throughput, not for peers"),
        (("throughput", "--workers", "1,no"), "is no list of numbers of workers"),
        (("throughput", "--workers", "0,1"), "is no list of numbers of workers"),
    ],
)
def test_options_of_clusters_are_refused_where_they_mean_nothing(arguments: tuple[str, ...], says: str) -> None:
    done = CliRunner().invoke(command.app, ["run", *arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert says in done.output


def test_a_report_names_the_options_of_clusters_without_their_secrets() -> None:
    options = Options(rows=7, storage="s3://key:secret@bucket/folder", workers=(1, 2))
    shown = command_of("throughput", options)
    assert shown.startswith("python -m benchmarks run throughput --rows 7 --storage s3://")
    assert shown.endswith("bucket/folder --workers 1,2")
    assert "secret" not in shown
    assert Options(rows=7).arguments() == {"rows": 7, "smoke": False}


@pytest.mark.usefixtures("local_ray")
def test_a_dataset_goes_from_files_to_files_for_each_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.repeated.LONG_S", 0.0)  # one run of each
    figures = throughput.run(rows=NUM_ROWS, storage=str(tmp_path), workers=(1, 2))
    by_workers = figures["by_workers"]
    assert isinstance(by_workers, dict)
    assert by_workers.keys() == {"1", "2"}
    assert by_workers["1"]["rows_out"] == by_workers["2"]["rows_out"]
    assert 0.6 * NUM_ROWS < by_workers["2"]["rows_out"] < 0.9 * NUM_ROWS
    for one in by_workers.values():
        assert one["seconds"].keys() >= {"processing", "writing"}
        assert one["worker_processes"] > 0
        assert one["worker_peak_bytes"] > 50 * MEGABYTE
        assert one["driver_peak_bytes"] > 50 * MEGABYTE
        assert one["written_bytes_per_input_byte"] > 0.5
        assert one["mb_per_cpu_s"]["median"] > 0
    assert isinstance(figures["speedup_of_two"], float)
    assert figures["fewer_rows"] == NUM_ROWS // 5
    growth = figures["growth"]
    assert isinstance(growth, dict)
    assert growth["wall"] > 0
    assert 0.5 < growth["worker_peak"] < 2
    assert abs(growth["driver_peak_bytes"]) < 100 * MEGABYTE
    assert growth["driver_cpu_us_per_further_row"] < 1e6 / NUM_ROWS * 60
    assert list(tmp_path.iterdir()) == []
