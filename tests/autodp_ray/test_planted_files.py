"""Shared storage is not trusted with code: a pickle in the place of any file that a run reads is never executed."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from actors.cache.store import Origin, StrategyStore
from actors.cache.upkeep import entries, origins, outcomes, verify
from actors.data.stored_dataset import StoredDataset
from actors.gradients.guide_file import read_guide
from actors.gradients.warmup_checkpoint import load_checkpoints
from actors.gradients.warmup_manifest import find_warmup
from actors.screening.manifest import read_manifest
from actors.storage.row_memo import RowMemo
from actors.storage.storage import Storage
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import find_prepared, prepare
from autodp_ray.progress import Silent
from autodp_ray.runs.exports import exported_files
from autodp_ray.runs.folder import RunFolder
from operators.contract.errors import AutoDPError
from tests.autodp_ray.preparation.stored_rows import apart_from
from tests.autodp_ray.run_fakes import NO_MODELS, make_config, pair, records, write_jsonl


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.witness,)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """A run with its splits, and a cache with an entry and a score."""
    data = write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(60)])
    config, run = make_config(data), Storage.at(tmp_path / "shared" / "run")
    RunFolder(run).open(config, config_path=None, strategies=None, cache=Storage.at(tmp_path / "shared" / "cache"))
    prepare(config, run=run, journal=Journal(run), progress=Silent(), models=NO_MODELS)
    store = StrategyStore(Storage.at(tmp_path / "shared" / "cache"))
    work = store.workspace()
    StoredDataset.write(work, [records(["one"])])
    store.commit("a" * 64, work, Origin(run_id="r", strategy="cleaning", seconds=1.0))
    store.record_score("b" * 64, json.dumps({"r": 1}))
    for name in ("result.json", "warmup/warmup.json", "warmup/checkpoint-0.safetensors", "warmup/guide.arrow"):
        run.write_text(name, "x")
    for name in ("screener.json", "training_rows.npz", "head.safetensors"):
        run.write_text(f"screener/{name}", "x")
    RowMemo(tmp_path / "shared" / "cache" / "gradients.sqlite", max_bytes=1 << 20).close()
    return Storage.at(tmp_path / "shared")


def readers(root: Storage) -> list[Callable[[], object]]:
    """Everything that reads what a run, a cache or a screener keeps."""
    run, store = root.folder("run"), StrategyStore(root.folder("cache"))
    table = records(["one"])
    return [
        lambda: RunFolder(run).config(),
        lambda: RunFolder(run).result(),
        lambda: list(Journal(run)),
        lambda: exported_files(run),
        lambda: find_prepared(run, Journal(run)).train.read(),
        lambda: find_prepared(run, Journal(run)).test.verify(),
        lambda: store.lookup("a" * 64),
        lambda: store.read("a" * 64),
        lambda: store.score("b" * 64),
        lambda: [list(entries(store)), list(origins(store)), list(outcomes(store)), verify(store)],
        lambda: find_warmup(run.folder("warmup")),
        lambda: load_checkpoints(run.folder("warmup")),
        lambda: read_guide(run.folder("warmup"), "guide.arrow"),
        lambda: read_manifest(run.path("screener")),
        lambda: apart_from(run.path("screener"), table, threshold=0.8),
        lambda: RowMemo(Path(root.path("cache/gradients.sqlite")), max_bytes=1 << 20).get(["k"]),
    ]


@pytest.mark.heavy
def test_a_pickle_in_the_place_of_any_file_is_never_run(storage: Storage, tmp_path: Path) -> None:
    """Each file alone, then all of them: a reader ends in an error of ours, or does without the file."""
    witness = tmp_path / "it-ran"
    planted = pickle.dumps(Payload(witness))
    files = {name: storage.read_bytes(name) for name in storage.files()}
    assert len(files) > 20
    for names in (*([name] for name in files), list(files)):
        for name in names:
            storage.write_bytes(name, planted)
        for read in readers(storage):
            with suppress(AutoDPError):
                read()
        assert not witness.exists(), names
        for name, data in files.items():
            storage.write_bytes(name, data)
