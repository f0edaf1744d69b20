"""Rows are embedded once for each text and model; many go to workers, few stay here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actors.data.embedding_pass import EmbedPart
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import StoredDataset, write_manifest
from actors.models.embedder import EXECUTED, SentenceEmbedder
from actors.models.source import ResolvedModel
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import Cluster
from autodp_ray.sampling import row_embedding
from autodp_ray.sampling.row_embedding import EmbeddedTable, RowEmbedder, embed_by_workers, open_embedder
from operators.contract.errors import InputError
from operators.contract.resources import Embedder
from operators.rows.content_columns import ContentColumns
from tests.actors.models import test_embedder
from tests.autodp_ray.run_fakes import make_config, records

CLUSTER = Cluster(is_own=True, num_nodes=1, num_cpus=4, num_gpus=0, hosts=frozenset())
TEXTS = [f"text {at}" for at in range(12)]


@pytest.fixture(autouse=True)
def _fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(source: str, *, memo: Path | None = None) -> SentenceEmbedder:
        model = ResolvedModel(source="fake", revision=source)
        return SentenceEmbedder(model=model, memo=str(memo), load=test_embedder.load_fake)

    monkeypatch.setattr(SentenceEmbedder, "of", of)


def embedder(
    folder: Path, *, model: str = "one", connect: Callable[[], Cluster] | None = None, part_rows: int = 5
) -> RowEmbedder:
    config = make_config("data.jsonl", sampling={"embedder": model}, pool={"part_rows": part_rows})
    return RowEmbedder(config=config, cache=Storage.at(folder), connect=connect)


def test_a_second_run_embeds_new_rows_alone(tmp_path: Path) -> None:
    first = embedder(tmp_path)(records(TEXTS))
    again = embedder(tmp_path)(records([*TEXTS, "another"]))
    assert (first.requested, first.executed) == (12, 12)
    assert (again.requested, again.executed) == (13, 1)
    assert again.matrix.take(np.arange(12)).tolist() == first.matrix.take(np.arange(12)).tolist()
    assert embedder(tmp_path, model="two")(records(TEXTS)).executed == 12


def test_embeddings_are_remembered_off_a_path_that_other_machines_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTODP_SHARED_STORAGE", "1")
    monkeypatch.setenv("AUTODP_CACHE", str(tmp_path / "own"))
    assert [embedder(tmp_path / "mount")(records(TEXTS)).executed for _ in range(2)] == [12, 0]
    assert list(tmp_path.rglob("*.sqlite")) == list((tmp_path / "own").rglob("*.sqlite"))


def test_few_rows_start_no_ray(tmp_path: Path) -> None:
    def connect() -> Cluster:
        raise AssertionError("few rows need no Ray")

    assert embedder(tmp_path, connect=connect)(records(TEXTS)).matrix.num_rows == 12


@pytest.mark.ray
def test_many_rows_are_embedded_by_workers_to_the_same_vectors(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = embedder(tmp_path / "here")(records(TEXTS))
    monkeypatch.setattr(row_embedding, "IN_PROCESS_ROWS", 11)
    connected: list[Cluster] = []

    def connect() -> Cluster:
        connected.append(CLUSTER)
        return CLUSTER

    there = embedder(tmp_path / "there", connect=connect)(records(TEXTS))
    assert connected == [CLUSTER]
    assert (there.requested, there.executed) == (12, 12)
    assert there.matrix.take(np.arange(12)) == pytest.approx(here.matrix.take(np.arange(12)), abs=1e-6)
    again = embedder(tmp_path / "there", connect=connect, part_rows=7)(records(TEXTS))
    assert (again.requested, again.executed) == (12, 0)
    assert embedder(tmp_path / "there", connect=connect)(records(TEXTS[:11])).executed == 0
    assert len(connected) == 2


class InOneProcess:
    """Stands in for the pass of Ray workers; `meanwhile` runs after the rows were written, before they are read."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._meanwhile = meanwhile
        self.num_passes = 0

    def __call__(
        self, dataset: StoredDataset, model: Embedder, *, out: Storage, pool: PoolConfig, content: ContentColumns
    ) -> StoredDataset:
        self.num_passes += 1
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        done = [
            EmbedPart(embedder=model, out=out, content=content)(at, part) for at, part in enumerate(dataset.batches())
        ]
        counts = {EXECUTED: sum(one.counts.get(EXECUTED, 0) for one in done)}
        return write_manifest(out, [one.part for one in done], counts)


def by_workers(folder: Path) -> EmbeddedTable:
    one = embedder(folder)
    model = open_embedder("one", one.cache)
    return embed_by_workers(records(TEXTS), model, config=one.config, cache=one.cache)


def test_two_drivers_that_embed_the_same_rows_leave_each_other_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs: list[EmbeddedTable] = []
    passes = InOneProcess(lambda: theirs.append(by_workers(tmp_path)))
    monkeypatch.setattr(row_embedding, "embed_dataset", passes)
    ours = by_workers(tmp_path)
    assert passes.num_passes == 2
    everything = np.arange(len(TEXTS))
    assert ours.matrix.take(everything).tolist() == theirs[0].matrix.take(everything).tolist()
    assert ours.matrix.parts == theirs[0].matrix.parts, "the first one's stay"
    assert Storage.at(tmp_path).names("embeddings/work") == []


def test_embeddings_with_a_flipped_byte_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = InOneProcess()
    monkeypatch.setattr(row_embedding, "embed_dataset", passes)
    first = by_workers(tmp_path).matrix.take(np.arange(12)).tolist()
    assert by_workers(tmp_path).executed == 0
    part = next(tmp_path.glob("embeddings/datasets/*/part-000000.arrow"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    assert by_workers(tmp_path).matrix.take(np.arange(12)).tolist() == first
    assert passes.num_passes == 2


def test_a_cache_that_workers_elsewhere_cannot_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_embedding, "IN_PROCESS_ROWS", 3)
    monkeypatch.delenv("AUTODP_SHARED_STORAGE", raising=False)
    two_nodes = Cluster(is_own=False, num_nodes=2, num_cpus=4, num_gpus=0, hosts=frozenset())
    with pytest.raises(InputError, match="2 nodes"):
        embedder(tmp_path, connect=lambda: two_nodes)(records(TEXTS))
