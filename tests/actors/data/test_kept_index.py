"""An index of kept rows: what is known to whom, and from when on."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest

from actors.data.kept_index import IndexedRows, KeptIndex
from actors.storage.sealed import sealed
from actors.storage.storage import Storage
from operators.contract.errors import InputError, RunError
from operators.contract.resources import KnownRows

SETTINGS = {"operator": "deduplicate", "threshold": 0.8, "columns": ["a"]}


def _at(folder: Storage | Path, output: str) -> KeptIndex:
    storage = folder if isinstance(folder, Storage) else Storage.at(folder)
    index = KeptIndex(folder=storage, output=output)
    index.make(SETTINGS)
    return index


def _keep(index: KeptIndex, made_of: str, *parts: list[int]) -> IndexedRows:
    rows = index.known(made_of)
    notes = [rows.keep(at, pa.table({"key": part})) if part else None for at, part in enumerate(parts)]
    rows.close(notes)
    return rows


def _told(index: KeptIndex) -> list[list[int]]:
    rows: KnownRows = pickle.loads(pickle.dumps(index.known("new")))
    return sorted(rows.read(number)["key"].to_pylist() for number in range(rows.num_parts))


@pytest.mark.parametrize("is_local", [True, False])
def test_rows_are_known_to_other_outputs_once_they_are_committed(
    is_local: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    place = Storage.at(tmp_path) if is_local else request.getfixturevalue("s3_bucket").folder(tmp_path.name)
    one, other = _at(place, "one"), _at(place, "other")
    rows = _keep(one, "a", [1, 2], [], [3])
    assert _told(other) == []
    assert one.commit(rows, "a") == 3
    assert _told(other) == [[1, 2], [3]]
    assert other.known("b").num_rows == 3
    assert _told(one) == []
    other.commit(_keep(other, "b", [4]), "b")
    assert _told(one) == [[4]]
    assert _told(_at(place, "third")) == [[1, 2], [3], [4]]


def test_an_output_that_is_made_anew_replaces_its_rows_and_leaves_no_file_of_the_old_ones(tmp_path: Path) -> None:
    index = _at(tmp_path, "one")
    index.commit(_keep(index, "a", [1], [2]), "a")
    rows = _keep(index, "b", [3])
    assert _told(_at(tmp_path, "other")) == [[1], [2]]
    index.commit(rows, "b")
    batch = index.batch()
    assert batch is not None
    assert (batch.made_of, batch.num_rows) == ("b", 1)
    assert _told(_at(tmp_path, "other")) == [[3]]
    assert len(list(tmp_path.rglob("*.arrow"))) == 1


def test_an_attempt_beside_other_known_rows_is_another_one(tmp_path: Path) -> None:
    index, other = _at(tmp_path, "one"), _at(tmp_path, "other")
    first = index.known("a")
    assert index.known("a") == first
    assert index.known("b").revision != first.revision
    other.commit(_keep(other, "x", [7]), "x")
    assert index.known("a").revision != first.revision
    assert index.known("a").attempt != first.attempt


def test_without_its_folder_rows_are_forgotten(tmp_path: Path) -> None:
    index = _at(tmp_path, "one")
    index.commit(_keep(index, "a", [1]), "a")
    index.folder.delete("one")
    assert _told(_at(tmp_path, "other")) == []
    assert index.batch() is None


def test_an_index_of_other_settings_or_of_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    index = _at(tmp_path / "index", "one")
    index.make(SETTINGS)
    with pytest.raises(InputError, match=r"was made with threshold 0\.8, but here it is 0\.7"):
        index.make({**SETTINGS, "threshold": 0.7})
    with pytest.raises(InputError, match="was made with columns"):
        index.require_fitting({name: value for name, value in SETTINGS.items() if name != "columns"})
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/thesis.tex").write_text("mine")
    with pytest.raises(InputError, match=r"is no index: it holds thesis\.tex"):
        _at(tmp_path / "thesis", "one")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("damage", [b"", b"ARROW1 nonsense", None])
def test_damaged_and_missing_parts_are_named_with_what_to_do(damage: bytes | None, tmp_path: Path) -> None:
    index = _at(tmp_path, "one")
    index.commit(_keep(index, "a", [1]), "a")
    (part,) = tmp_path.rglob("*.arrow")
    if damage is None:
        part.unlink()
    else:
        part.write_bytes(damage)
    with pytest.raises(RunError, match=r"part-000000\.arrow is (gone|damaged).*begin another index"):
        _told(_at(tmp_path, "other"))


@pytest.mark.parametrize("name", ["index.json", "one/batch.json"])
def test_a_damaged_note_is_named(name: str, tmp_path: Path) -> None:
    index = _at(tmp_path, "one")
    index.commit(_keep(index, "a", [1]), "a")
    (tmp_path / name).write_text('{"checksum": "0", "body": "{}"}')
    with pytest.raises(InputError, match=rf"{name} is damaged"):
        _told(_at(tmp_path, "other"))


@pytest.mark.parametrize("name", ["index.json", "one/batch.json"])
def test_a_note_of_another_version_is_named(name: str, tmp_path: Path) -> None:
    index = _at(tmp_path, "one")
    index.commit(_keep(index, "a", [1]), "a")
    index.folder.write_bytes(name, sealed("[7]"))
    with pytest.raises(InputError, match=rf"{name} is not as this version of the program writes it"):
        _told(_at(tmp_path, "other"))


def test_what_was_kept_must_be_there_when_it_is_committed(tmp_path: Path) -> None:
    index = _at(tmp_path, "one")
    rows = _keep(index, "a", [1])
    index.folder.delete("one")
    with pytest.raises(RunError, match="is gone while it was needed"):
        index.commit(rows, "a")
