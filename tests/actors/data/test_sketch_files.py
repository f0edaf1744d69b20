"""Sketches on shared storage: whatever an operator's class holds comes back, and what others put there is never run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.data.sketch_files import read_sketch, write_sketch
from actors.storage.storage import Storage
from operators.contract.errors import RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    numbers: np.ndarray
    label: str


@dataclass
class Outer:
    """What an operator from outside might choose; its `__init__` takes other arguments than its fields."""

    table: pa.Table
    parts: tuple[Inner, ...]
    by_name: Mapping[str, Any]
    total: float | None

    def __init__(self) -> None:
        self.table = pa.table({"a": [1, None], "b": ["x", "痛"]}).replace_schema_metadata({"k": "v"})
        self.parts = (Inner(numbers=np.arange(6, dtype=np.uint32).reshape(2, 3), label="one"),)
        self.by_name = {"mask": np.array([True, False]), "ids": pa.array(["a", None, "c"], pa.large_string())}
        self.total = None


VALUES = [
    np.array([], dtype=np.float16),
    np.zeros((0, 128), dtype=np.uint32),
    np.array(7, dtype=np.int64),
    np.arange(24).reshape(4, 6)[::2, ::-1],
    np.array(["né", "x"]),
    np.array(["2024-01-01"], dtype="datetime64[s]"),
    np.array([1 + 2j]),
    np.array([{"an": "object"}, None], dtype=object),
]
ARROW = [
    pa.array([], pa.large_string()),
    pa.array(["a", None, "b"], pa.string()).slice(1, 2),
    pa.array([True, None, False]).slice(2),
    pa.array([[{"role": "user"}], None, []], pa.list_(pa.struct([("role", pa.string())]))),
    pa.array(["x", "y", "x"]).dictionary_encode(),
    pa.chunked_array([["a"], ["b", None]]),
    pa.chunked_array([], pa.int8()),
    pa.record_batch({"n": [1, 2]}),
    pa.record_batch({"n": pa.array([], pa.int32())}),
    pa.table({"n": pa.chunked_array([[1], [2, 3]])}),
    pa.table({"n": pa.array([], pa.null())}),
]


def round_trip(folder: Path, sketch: object) -> Any:  # noqa: ANN401 - whatever was written
    storage = Storage.at(folder)
    return read_sketch(storage, pickle.loads(pickle.dumps(write_sketch(storage, "0.sketch", sketch))))


@pytest.mark.parametrize("array", VALUES, ids=lambda array: str(array.dtype))
def test_every_kind_of_numpy_array_comes_back(tmp_path: Path, array: np.ndarray) -> None:
    found = round_trip(tmp_path, array)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert found.tolist() == array.tolist()
    assert array.dtype.hasobject or found.flags.writeable


@pytest.mark.parametrize("value", ARROW, ids=lambda value: f"{type(value).__name__}")
def test_every_kind_of_arrow_data_comes_back(tmp_path: Path, value: pa.Array) -> None:
    found = round_trip(tmp_path, value)
    assert type(found) is type(value)
    assert found.equals(value)


def test_classes_of_other_people_come_back_with_all_that_they_hold(tmp_path: Path) -> None:
    sketch = Outer()
    found = round_trip(tmp_path, sketch)
    assert type(found) is Outer
    assert found.table.equals(sketch.table, check_metadata=True)
    assert found.parts[0].label == "one"
    assert found.parts[0].numbers.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.by_name["mask"].tolist() == [True, False]
    assert found.by_name["ids"].to_pylist() == ["a", None, "c"]
    assert found.total is None


def test_plain_values_come_back_and_need_no_array(tmp_path: Path) -> None:
    for value in (None, 3, "text", b"\x00", ["a", ("b", 2.5)], {"k": {1, 2}}, 10**30):
        assert round_trip(tmp_path, value) == value


class Planted:
    """Runs when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.witness,)


def test_what_somebody_puts_in_the_place_of_a_sketch_is_refused_and_never_run(tmp_path: Path) -> None:
    storage, witness = Storage.at(tmp_path), tmp_path / "it-ran"
    written = write_sketch(storage, "0.sketch", {"n": np.arange(3)})
    storage.write_bytes("0.sketch", pickle.dumps(Planted(witness)))
    with pytest.raises(RunError, match="is not what a worker of this run wrote"):
        read_sketch(storage, written)
    storage.delete("0.sketch")
    with pytest.raises(RunError, match="is gone while it was needed"):
        read_sketch(storage, written)
    assert not witness.exists()
