"""Writing: parts, atomicity, internal columns, formats' own types."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from actors.storage.storage import Storage
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.output.writer import RecordWriter, write_records
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout


def dataset(path: Path) -> tuple[Layout, list[pa.Table]]:
    config = DatasetConfig(path=str(path))
    layout = scan_layout(config)
    return layout, list(read_records(config, on_quarantine=print, layout=layout))


def rows_file(folder: Path, num_rows: int, **more: object) -> Path:
    path = folder / "in.jsonl"
    rows = [{"question": f"q{index}", "answer": "a", **more} for index in range(num_rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_parts_hold_their_rows_in_order_and_replace_those_of_an_earlier_run(tmp_path: Path) -> None:
    layout, tables = dataset(rows_file(tmp_path, 10))
    out = tmp_path / "out"
    out.mkdir()
    (out / "data-00007.jsonl").write_text("stale")
    (out / "notes.jsonl").write_text("mine")
    files = write_records(tables, str(out), layout=layout, rows_per_file=4)
    assert [Path(file).name for file in files] == [f"data-0000{part}.jsonl" for part in range(3)]
    questions = [json.loads(line)["question"] for file in files for line in Path(file).read_text().splitlines()]
    assert questions == [f"q{index}" for index in range(10)]
    assert sorted(path.name for path in out.iterdir()) == [*(Path(file).name for file in files), "notes.jsonl"]


def test_nothing_appears_before_the_end_or_after_a_fault(tmp_path: Path) -> None:
    layout, tables = dataset(rows_file(tmp_path, 10))
    folder = Storage.at(tmp_path / "out")
    with suppress(RuntimeError), RecordWriter(folder, layout=layout, rows_per_file=4) as writer:
        writer.write(tables[0])
        assert folder.names() == []
        raise RuntimeError("a fault")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_writer_without_rows_leaves_a_valid_empty_file(tmp_path: Path) -> None:
    layout, tables = dataset(rows_file(tmp_path, 1, n=1))
    pq.write_table(pa.table({"question": ["q"], "answer": ["a"]}), tmp_path / "p.parquet")
    parquet_layout, _ = dataset(tmp_path / "p.parquet")
    [lines] = write_records([], str(tmp_path / "out.jsonl"), layout=layout)
    assert Path(lines).read_bytes() == b""
    [array] = write_records(
        [tables[0].slice(0, 0)], str(tmp_path / "x"), layout=layout.model_copy(update={"format": "json"})
    )
    assert json.loads(Path(array).read_text()) == []
    [parquet] = write_records([], str(tmp_path / "out.parquet"), layout=parquet_layout)
    assert pq.read_table(parquet).schema.names == ["question", "answer"]


def test_internal_columns_are_written_only_when_asked_for(tmp_path: Path) -> None:
    layout, tables = dataset(rows_file(tmp_path, 1))
    [plain] = write_records(tables, str(tmp_path / "a.jsonl"), layout=layout)
    assert json.loads(Path(plain).read_text()) == {"question": "q0", "answer": "a"}
    [kept] = write_records(tables, str(tmp_path / "b.jsonl"), layout=layout, keep_columns=("id", "origin"))
    row = json.loads(Path(kept).read_text())
    assert row == {"question": "q0", "answer": "a", "id": tables[0]["id"][0].as_py(), "origin": "source"}
    assert dataset(Path(kept))[0].id_key == "id"


def test_parquet_keeps_the_types_of_its_columns(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([2, 1], pa.int32()),
            "question": pa.array(["x", "y"]).dictionary_encode(),
            "answer": pa.array(["a", None], pa.large_string()),
            "when": pa.array([datetime(2020, 1, 1), None], pa.timestamp("ms")),
            "label": pa.array(["l", "m"]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    layout, tables = dataset(tmp_path / "in.parquet")
    [written] = write_records(tables, str(tmp_path / "out.parquet"), layout=layout, keep_columns=("origin",))
    again = pq.read_table(written)
    assert again.drop_columns(["origin"]).equals(pq.read_table(tmp_path / "in.parquet"))
    assert again["origin"].to_pylist() == ["source", "source"]


def test_columns_that_an_operator_added_are_left_out_of_every_format(tmp_path: Path) -> None:
    layout, tables = dataset(rows_file(tmp_path, 2))
    table = tables[0].append_column("influence", pa.array([0.5, 0.25]))
    [plain] = write_records([table], str(tmp_path / "a.jsonl"), layout=layout)
    assert "influence" not in Path(plain).read_text()
    [kept] = write_records([table], str(tmp_path / "b.jsonl"), layout=layout, keep_columns=("influence",))
    assert [json.loads(line)["influence"] for line in Path(kept).read_text().splitlines()] == [0.5, 0.25]
