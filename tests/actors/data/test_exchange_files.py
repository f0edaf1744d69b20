"""What tasks of an exchange send each other comes to its reader, or is refused."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.data.exchange_files import SentFile, SentPieces, StoredInbox, write_sent
from actors.data.stored_exchange import TOGETHER_BYTES, StepWork, StoredExchange
from actors.storage.storage import Storage
from operators.contract.errors import RunError
from operators.contract.exchange import Inbox, Sent

SHINGLES = pa.array([[1, 2], [], [7]], pa.large_list(pa.uint32()))
TABLE = pa.table({"row": [4, 5, 9], "set": SHINGLES, "pair": pa.array([[1, 2]] * 3, pa.list_(pa.uint32(), 2))})


@dataclass(frozen=True)
class Spread:
    """Sends each of its rows on to the task of the row's number; the note is how many there were."""

    source: str
    target: str

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.source,)

    def __call__(self, number: int, inbox: Inbox) -> Sent:
        rows = [row for table in inbox.tables(self.source) for row in table["row"].to_pylist()]
        return Sent(channels={self.target: {row: pa.table({"row": [row]}) for row in rows}}, note=len(rows))


def run_here(groups, work: StepWork, task_bytes: int):  # type: ignore[no-untyped-def]
    """The tasks in this process, the last ones first."""
    done = [(place, work(tasks)) for place, tasks in enumerate(groups)]
    return reversed(done)


def inbox_of(folder: Storage, file: SentFile, reader: int, *channels: str) -> StoredInbox:
    sent = SentPieces()
    sent.add([file])
    return StoredInbox(folder=folder, pieces={channel: sent.to(reader, channel) for channel in channels})


def read(folder: Storage, name: str, sent: Sent, channel: str, reader: int) -> list[pa.Table]:
    file = write_sent(folder, name, sent)
    return list(inbox_of(folder, file, reader, channel).tables(channel))


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_tables_come_to_their_reader_as_they_were(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    folder = Storage.at(tmp_path) if kind == "disk" else request.getfixturevalue("s3_bucket").folder("exchange")
    sent = Sent(channels={"a": {3: TABLE.slice(1), 0: TABLE}, "b": {3: TABLE.slice(0, 0)}, "none": {}})
    assert [table.equals(TABLE.slice(1)) for table in read(folder, "x", sent, "a", 3)] == [True]
    assert [table.equals(TABLE) for table in read(folder, "x", sent, "a", 0)] == [True]
    assert [table.equals(TABLE.slice(0, 0)) for table in read(folder, "x", sent, "b", 3)] == [True]
    assert (
        read(folder, "x", sent, "a", 1) == read(folder, "x", sent, "none", 0) == read(folder, "x", sent, "c", 0) == []
    )


def test_a_task_that_sends_nothing_writes_no_file(tmp_path: Path) -> None:
    write_sent(Storage.at(tmp_path), "x", Sent(channels={"a": {}}))
    assert Storage.at(tmp_path).names() == []


@pytest.mark.parametrize("place", [0, 100, -1])
def test_a_changed_byte_is_refused_where_it_is_read(tmp_path: Path, place: int) -> None:
    folder = Storage.at(tmp_path)
    file = write_sent(folder, "x", Sent(channels={"a": {0: TABLE}, "b": {0: TABLE}}))
    data = bytearray(folder.read_bytes("x"))
    data[place] ^= 1
    folder.write_bytes("x", bytes(data))
    changed, other = ("b", "a") if place < 0 else ("a", "b")
    inbox = inbox_of(folder, file, 0, "a", "b")
    assert [table.equals(TABLE) for table in inbox.tables(other)] == [True]
    with pytest.raises(RunError, match="is not what a worker of this run wrote"):
        list(inbox.tables(changed))


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = Storage.at(tmp_path)
    file = write_sent(folder, "x", Sent(channels={"a": {0: TABLE}}))
    folder.delete("x")
    with pytest.raises(RunError, match=r"/x is gone while it was needed"):
        list(inbox_of(folder, file, 0, "a").tables("a"))


def test_steps_pass_tables_on_whatever_order_their_tasks_end_in(tmp_path: Path) -> None:
    exchange = StoredExchange(folder=Storage.at(tmp_path), run_tasks=run_here)
    first = [Sent(channels={"a": {number: pa.table({"row": [0, 2, number]})}}) for number in range(3)]
    exchange.send([write_sent(exchange.folder, f"p{at}", sent) for at, sent in enumerate(first)])
    assert exchange.run(Spread("a", "b"), num_tasks=3, task_bytes=0) == [3, 3, 3]
    assert exchange.run(Spread("b", "c"), num_tasks=3, task_bytes=0) == [3, 1, 3]
    assert [[table["row"].to_pylist() for table in exchange.inbox(to, ["c"]).tables("c")] for to in range(3)] == [
        [[0]],
        [[1]],
        [[2]],
    ]


@pytest.mark.parametrize(("task_bytes", "sizes"), [(1, [3] * 8 + [1]), (TOGETHER_BYTES // 2, [2] * 12 + [1])])
def test_small_tasks_go_to_a_worker_together(tmp_path: Path, task_bytes: int, sizes: list[int]) -> None:
    seen: list[int] = []

    def run(groups, work: StepWork, task_bytes: int):  # type: ignore[no-untyped-def]
        listed = list(groups)
        seen.extend(map(len, listed))
        return run_here(listed, work, task_bytes)

    exchange = StoredExchange(folder=Storage.at(tmp_path), run_tasks=run)
    exchange.send([write_sent(exchange.folder, "p", Sent(channels={"a": {24: pa.table({"row": [3, 20]})}}))])
    assert exchange.run(Spread("a", "b"), num_tasks=25, task_bytes=task_bytes) == [0] * 24 + [2]
    assert seen == sizes
    assert [len(list(exchange.inbox(to, ["b"]).tables("b"))) for to in (3, 19, 20)] == [1, 0, 1]


@given(st.lists(st.lists(st.dictionaries(st.integers(0, 6), st.integers(0, 99), max_size=4), max_size=4), max_size=4))
def test_a_reader_finds_what_each_sender_sent_it_in_their_order(steps: list[list[dict[int, int]]]) -> None:
    """Steps, of each the files, of each the value for every reader; several steps send on one channel."""
    with tempfile.TemporaryDirectory() as place:
        folder, sent = Storage.at(place), SentPieces()
        expected: dict[int, list[int]] = {reader: [] for reader in range(8)}
        for step in steps:
            files: list[SentFile] = []
            for values in step:
                name = f"{sent.num_files}-{len(files)}"
                boxes = {reader: pa.table({"value": [value]}) for reader, value in values.items()}
                files.append(write_sent(folder, name, Sent(channels={"a": boxes})))
                for reader, value in values.items():
                    expected[reader].append(value)
            sent.add(files)
        for reader, wanted in expected.items():
            inbox = StoredInbox(folder=folder, pieces={"a": sent.to(reader, "a")})
            assert [table["value"][0].as_py() for table in inbox.tables("a")] == wanted


class MadeWhenAsked(Mapping[int, pa.Table]):
    """Tables for some tasks; tells how much memory is in use whenever one is made."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks
        self.in_use: list[int] = []

    def __getitem__(self, task: int) -> pa.Table:
        self.in_use.append(pa.total_allocated_bytes())
        return TABLE.take(pa.array([0] * 100_000))

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.tasks))

    def __len__(self) -> int:
        return self.tasks


def test_of_the_tables_that_a_task_sends_few_are_in_memory_at_a_time(tmp_path: Path) -> None:
    boxes = MadeWhenAsked(tasks=10)
    write_sent(Storage.at(tmp_path), "x", Sent(channels={"a": boxes}))
    one = Storage.at(tmp_path).read_buffer("x").size // boxes.tasks
    assert max(boxes.in_use) - boxes.in_use[0] < 3 * one
