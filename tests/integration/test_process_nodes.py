"""`autodp process` from bucket to bucket on a cluster of two nodes, while workers, nodes and drivers are killed.

Whatever is killed in whichever phase, the command, or the same one again, writes the bytes that one machine writes
without a cluster, and leaves nothing else.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from actors.storage.storage import Storage
from benchmarks.labelled_copies import damaged_row, write_rows
from tests.integration.process_command import Command, balance, finished, numbers, wait_until
from tests.integration.several_nodes import Nodes, several_nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

NUM_ROWS = 10_000
"""Of about 860 bytes: three splits, which are read side by side."""
SETTINGS = ("pool.part_rows=400", "pool.file_bytes=1000000", "dataset.language=en")
PHASES = {
    "reading": (r".*\.autodp-work/input-.*/rows/part-.*", 8),
    "row operators": (r".*\.autodp-work/.*/stage-0/finished/.*", 15),
    "near-duplicates": (r".*\.autodp-work/.*/exchange/.*", 30),
    "writing": (r"out/data-.*", 2),
}
"""Files that a phase leaves on its way, and after how many of them at most something is killed."""
WORKER, NODE, DRIVER = VICTIMS = ("worker", "node", "driver")
TASK = "ray::_attempted"
LOOKS_EVERY_S = 0.1
"""To list a bucket is work for its server, which the command asks too."""
UNFINISHED = re.compile(r"\.tmp-|autodp-work|\.written")
"""In the names of what must be gone at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When what is killed."""

    phase: str
    pattern: re.Pattern[str]
    count: int
    victim: str

    def has_come(self, place: Storage) -> bool:
        return sum(1 for name in place.files() if self.pattern.fullmatch(name)) >= self.count


def moments(number: int) -> list[Moment]:
    """One in each phase, drawn by a seed; over as many numbers as there are victims, each is killed in each phase."""
    draw = random.Random(number)
    return [
        Moment(
            phase=phase,
            pattern=re.compile(pattern),
            count=draw.randint(1, most),
            victim=VICTIMS[(at + number) % len(VICTIMS)],
        )
        for at, (phase, (pattern, most)) in enumerate(PHASES.items())
    ]


@pytest.fixture(scope="module")
def nodes(s3_bucket: Storage) -> Iterator[Nodes]:
    """Two, whose processes know the bucket."""
    with several_nodes(2) as found:
        yield found


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, s3_bucket: Storage
) -> tuple[Command, dict[str, object]]:
    """A command that has run on one machine, and its accounts; its input is in the bucket too."""
    command = Command(folder=tmp_path_factory.mktemp("process"), model=tiny_model, settings=SETTINGS)
    (command.folder / "in").mkdir()
    file = command.folder / "in" / "data.jsonl"
    rows = (damaged_row(at, language="english") for at in range(NUM_ROWS))
    write_rows(file, ((row.question, row.answer) for row in rows))
    with file.open("a") as stream:
        stream.write("{this is no JSON\n")
    s3_bucket.write_bytes("process/data.jsonl", file.read_bytes())
    return command, command.finish("in", "out")[0]


@pytest.mark.parametrize("number", range(len(VICTIMS)))
def test_whatever_is_killed_in_whichever_phase_the_bytes_are_those_of_one_machine(
    undisturbed: tuple[Command, dict[str, object]], nodes: Nodes, s3_bucket: Storage, number: int
) -> None:
    here, accounts = undisturbed
    command = Command(
        folder=here.folder, model=here.model, settings=SETTINGS, environment={"RAY_ADDRESS": nodes.address}
    )
    place = s3_bucket.folder(f"killed-{number}")
    arguments = (s3_bucket.uri("process"), place.uri("out"))
    running = command.start(*arguments)
    for moment in moments(number):
        wait_until(partial(moment.has_come, place), running, every_s=LOOKS_EVERY_S)
        wait_until(partial(killed, moment.victim, running, nodes), running)
        print(f"{moment.phase}, {moment.count} files: {moment.victim}", flush=True)
        if moment.victim == DRIVER:
            running = command.start(*arguments)
    done, _ = finished(running)
    assert numbers(done) == numbers(accounts)
    assert balance(done) == done["rows_in"] == NUM_ROWS + 1
    assert rows(place) == rows(Storage.at(here.folder))
    assert [name for name in place.files() if UNFINISHED.search(name)] == []


def killed(victim: str, running: subprocess.Popen[str], nodes: Nodes) -> bool:
    if victim == DRIVER:
        running.kill()
        running.communicate()
        return True
    return nodes.kill_process(TASK) if victim == WORKER else nodes.kill_node(TASK)


def rows(place: Storage) -> bytes:
    """What lies there as output, one file after another."""
    names = [name for name in place.files() if re.fullmatch(r"out/data.*\.jsonl", name)]
    return b"".join(place.read_bytes(name) for name in names)
