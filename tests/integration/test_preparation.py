"""Preparation on workers of a real Ray: the same splits, samples and ids as in one process, however it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage.storage import Storage
from autodp_ray.cluster.ray import Cluster
from autodp_ray.config.run_config import Config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, prepare
from autodp_ray.progress import Silent
from autodp_ray.sampling.search_sample import RowModels
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import NO_MODELS, make_config, pair, write_jsonl

pytestmark = pytest.mark.ray

SPLITS = ("train", "sample", "guide", "validation", "test")


@pytest.fixture
def on_workers(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> RowModels:
    monkeypatch.setattr("autodp_ray.preparation.preparation.IN_PROCESS_ROWS", 10)
    found = Cluster(is_own=False, num_nodes=1, num_cpus=4, num_gpus=0, hosts=frozenset({"127.0.0.1"}))
    return RowModels(embed=NO_MODELS.embed, connect=lambda: found)


def config_for(folder: Path, **pool: object) -> Config:
    rows = [pair(number) for number in range(150)]
    copies = [{**row, "output": f"{row['output']}.."} for row in rows[:30]]
    holes = [{**row, "output": ""} for row in rows[100:110]]
    path = write_jsonl(folder / "rows.jsonl", [*rows, "no row", *copies, *holes])
    own = write_jsonl(folder / "own.jsonl", [pair(number) for number in (3, 900, 901, 902)])
    sections = {"splits": {"guide": 10, "test": 20, "min_train": 50, "validation_path": str(own)}, "pool": pool}
    return make_config(path, sampling={"method": "random", "rate": 0.3}, **sections)


def prepared(config: Config, folder: Path, models: RowModels) -> Prepared:
    run = Storage.at(folder)
    return prepare(config, run=run, journal=Journal(run), progress=Silent(), models=models)


def content(found: Prepared) -> dict[str, str]:
    return {name: getattr(found, name).content_hash for name in SPLITS}


@pytest.mark.parametrize("pool", [{"part_rows": 70}, {"part_rows": 2048, "max_workers": 1}])
def test_workers_prepare_what_one_process_does(tmp_path: Path, on_workers: RowModels, pool: dict[str, object]) -> None:
    here = prepared(config_for(tmp_path), tmp_path / "here", NO_MODELS)
    there = prepared(config_for(tmp_path, **pool), tmp_path / "there", on_workers)
    assert content(there) == content(here)
    ids = [Storage.at(tmp_path / name).read_table("splits/ids.arrow") for name in ("here", "there")]
    assert ids[0].equals(ids[1])
    assert (there.num_in, there.num_quarantined, there.num_set_aside) == (195, 1, here.num_set_aside)
    assert not Storage.at(tmp_path / "there").files("work")


def test_what_a_worker_finds_wrong_is_said_as_ever(tmp_path: Path, on_workers: RowModels) -> None:
    config = make_config(write_jsonl(tmp_path / "few.jsonl", [pair(number) for number in range(20)]))
    with pytest.raises(InputError, match="too few rows for its splits: 20 rows"):
        prepared(config, tmp_path / "run", on_workers)
