"""The journal: an event is written once, read back as it was, and never asked for again."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.storage.storage import Storage
from autodp_ray.journal import Journal
from operators.contract.errors import RunError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def test_events_are_numbered_files_that_hold_one_event_each(tmp_path: Path) -> None:
    journal = Journal(Storage.at(tmp_path))
    journal.append("prepared", {"rows": 3})
    journal.append("team_run", {"executed": True}, key="k1")
    files = sorted(path.name for path in (tmp_path / "journal").iterdir())
    assert files == ["000001-prepared.json", "000002-team_run.json"]
    body = json.loads((tmp_path / "journal" / files[1]).read_text())
    assert (body["name"], body["key"], body["payload"]) == ("team_run", "k1", {"executed": True})


def test_a_step_that_is_in_the_journal_is_not_done_again(tmp_path: Path) -> None:
    done: list[str] = []

    def step() -> Mapping[str, object]:
        done.append("step")
        return {"score": 0.125}

    first = Journal(Storage.at(tmp_path)).once("training", "k", step)
    again = Journal(Storage.at(tmp_path))
    assert again.once("training", "k", step) == first
    assert again.once("training", "other key", step) == first
    assert done == ["step", "step"]


def test_a_step_that_raises_leaves_no_event(tmp_path: Path) -> None:
    journal = Journal(Storage.at(tmp_path))

    def fail() -> Mapping[str, object]:
        raise RunError("the training failed")

    with pytest.raises(RunError):
        journal.once("training", "k", fail)
    assert journal.find("training", "k") is None
    assert list(Journal(Storage.at(tmp_path))) == []


@settings(max_examples=40)
@given(payload=st.dictionaries(st.text(), JSON, max_size=4))
def test_a_resumed_run_reads_what_the_unbroken_one_was_given(
    payload: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Storage.at(tmp_path_factory.mktemp("run"))
    given_back = Journal(folder).once("training", "", lambda: payload)
    assert Journal(folder).find("training") == given_back == payload


def test_a_tuple_is_a_list_at_once_and_not_only_after_a_resume(tmp_path: Path) -> None:
    given_back = Journal(Storage.at(tmp_path)).append("proposal", {"turns": (("user", "hi"),), 1: "one"})  # type: ignore[dict-item]
    assert given_back == {"turns": [["user", "hi"]], "1": "one"} == Journal(Storage.at(tmp_path)).find("proposal")


def test_numbers_go_on_after_a_resume_and_old_events_stay_as_they_are(tmp_path: Path) -> None:
    Journal(Storage.at(tmp_path)).append("prepared", {"rows": 1})
    before = (tmp_path / "journal" / "000001-prepared.json").read_bytes()
    Journal(Storage.at(tmp_path)).append("proposal", {})
    assert [event.number for event in Journal(Storage.at(tmp_path))] == [1, 2]
    assert (tmp_path / "journal" / "000001-prepared.json").read_bytes() == before


def test_of_two_events_with_a_key_the_last_one_is_found_and_both_are_counted(tmp_path: Path) -> None:
    journal = Journal(Storage.at(tmp_path))
    journal.append("training", {"n": 1}, key="k")
    journal.append("training", {"n": 2}, key="k")
    assert journal.find("training", "k") == {"n": 2}
    assert journal.count("training") == 2
    assert journal.count("proposal") == 0


def test_threads_write_events_of_their_own_numbers(tmp_path: Path) -> None:
    journal = Journal(Storage.at(tmp_path))
    workers = [
        threading.Thread(target=journal.append, args=("note", {"n": n}), kwargs={"key": str(n)}) for n in range(16)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    events = list(Journal(Storage.at(tmp_path)))
    assert [event.number for event in events] == list(range(1, 17))
    assert sorted(event.key for event in events) == sorted(str(n) for n in range(16))


def test_a_half_written_event_is_no_event(tmp_path: Path) -> None:
    Journal(Storage.at(tmp_path)).append("prepared", {})
    (tmp_path / "journal" / ".tmp-123").write_text('{"name": "tr')
    assert [event.name for event in Journal(Storage.at(tmp_path))] == ["prepared"]


def test_a_foreign_file_in_the_journal_is_named(tmp_path: Path) -> None:
    Storage.at(tmp_path).write_text("journal/notes.txt", "mine")
    with pytest.raises(RunError, match=r"notes\.txt is no journal event"):
        Journal(Storage.at(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "training"}'])
def test_a_damaged_event_is_named_with_what_to_do(tmp_path: Path, text: str) -> None:
    Storage.at(tmp_path).write_text("journal/000001-training.json", text)
    with pytest.raises(RunError, match=r"000001-training\.json is damaged; delete it"):
        Journal(Storage.at(tmp_path))


def test_a_name_that_could_not_be_read_back_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="Team-Run"):
        Journal(Storage.at(tmp_path)).append("Team-Run", {})
    assert list(Journal(Storage.at(tmp_path))) == []


def test_no_flipped_bit_of_an_event_passes(tmp_path: Path) -> None:
    """Every single flip is noticed, or leaves the event as it was written."""
    storage = Storage.at(tmp_path)
    payload = {"score": 0.25, "rows": {"train": 120}, "names": ["cleaning", None], "done": True}
    Journal(storage).append("scored", payload, key="k1")
    (file,) = (tmp_path / "journal").iterdir()
    whole = file.read_bytes()
    (event,) = Journal(storage)
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bytes(flipped))
        try:
            found = list(Journal(storage))
        except RunError:
            continue
        assert found == [event], f"bit {bit}"


def test_an_event_of_an_earlier_version_has_no_checksum_and_is_read(tmp_path: Path) -> None:
    body = {"name": "scored", "key": "", "at": "2026-01-01T00:00:00+00:00", "payload": {"score": 1}}
    Storage.at(tmp_path).write_text("journal/000001-scored.json", json.dumps(body))
    assert Journal(Storage.at(tmp_path)).find("scored") == {"score": 1}
