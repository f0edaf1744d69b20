"""Small files, and the rows that are read of them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.reader import read_records


def read(path: Path | str, **settings: object) -> tuple[pa.Table, list[BadRow]]:
    bad: list[BadRow] = []
    tables = list(read_records(DatasetConfig(path=str(path), **settings), on_quarantine=bad.append))
    return pa.concat_tables(tables), bad


def questions(path: Path | str, **settings: object) -> list[str]:
    found: list[str] = read(path, **settings)[0]["question"].to_pylist()
    return found


def rows_of(count: int, start: int = 0) -> list[dict[str, str]]:
    return [{"question": f"q{n}", "answer": f"a{n}"} for n in range(start, start + count)]


def jsonl(path: Path, rows: list[dict[str, str]]) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def save_to_disk(folder: Path, rows: list[dict[str, str]]) -> None:
    """What `datasets.Dataset.save_to_disk` writes, and a cache file of `map` beside it."""
    folder.mkdir(parents=True)
    table = pa.Table.from_pylist(rows)
    for name in ("data-00000-of-00001.arrow", "cache-0123456789abcdef.arrow"):
        with pa.ipc.new_stream(folder / name, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {}, "citation": ""}))


# encodings and delimiters
