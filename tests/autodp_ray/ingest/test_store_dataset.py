"""Datasets from files onto storage: the rows that the reader gives, whatever they are cut into."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from actors.data.pool_config import PoolConfig
from actors.storage.storage import Storage
from autodp_ray.ingest.store_dataset import store_dataset
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.quarantine import QUARANTINE_FILE, Quarantine
from autodp_ray.records.reader import read_records


def test_what_is_stored_is_what_the_reader_reads(tmp_path: Path) -> None:
    rows = [{"question": f"q{n % 90}", "answer": "a", "n": n % 3} for n in range(100)]
    lines = [json.dumps(row) for row in rows]
    lines.insert(40, "{broken")
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    config = DatasetConfig(path=str(tmp_path / "a.jsonl"))
    with Quarantine(Storage.at(tmp_path / "quarantine")) as quarantine:
        stored = store_dataset(
            config, out=Storage.at(tmp_path / "out"), quarantine=quarantine, pool=PoolConfig(part_rows=7)
        )
    read = pa.concat_tables(list(read_records(config, on_quarantine=lambda row: None)))
    assert stored.dataset.read().equals(read.replace_schema_metadata(None))
    assert stored.quarantine_reasons == {"invalid JSON": 1}
    assert stored.num_quarantined == 1
    assert json.loads((tmp_path / "quarantine" / QUARANTINE_FILE).read_text())["line"] == 41
