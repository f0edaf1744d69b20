"""Embeddings have norm 1, come in order, and are made once for each text and model."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.data.embedded_text import row_texts
from actors.data.embedding_pass import EmbedPart, embed_dataset
from actors.data.pool_config import PoolConfig
from actors.data.stored_dataset import StoredDataset
from actors.models.embedder import SentenceEmbedder, SentenceModel, as_arrow, memo_key
from actors.models.source import DEFAULT_EMBEDDER, ResolvedModel
from actors.storage.row_memo import RowMemo
from actors.storage.storage import Storage
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix
from operators.contract.resources import Embedder
from operators.rows.record import RECORD_SCHEMA

_ENCODED: list[str] = []
"""Every text that a fake model of this process encoded."""


class FakeModel:
    """Embeds a text by its digest, with a norm that is not 1."""

    dim = 8

    def encode(self, texts: list[str]) -> np.ndarray:
        _ENCODED.extend(texts)
        digests = [np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], dtype=np.uint8) for text in texts]
        rows = np.array(digests, dtype=np.float32) + 1
        rows[[text == "" for text in texts]] = 0
        return rows


def load_fake(model: ResolvedModel) -> SentenceModel:
    return FakeModel()


@pytest.fixture(autouse=True)
def _nothing_encoded_yet() -> None:
    _ENCODED.clear()


def _embedder(memo: Path | None = None, *, revision: str = "one") -> SentenceEmbedder:
    model = ResolvedModel(source="fake", revision=revision)
    return SentenceEmbedder(model=model, memo=None if memo is None else str(memo), load=load_fake)


def _values(array: pa.FixedSizeListArray) -> np.ndarray:
    rows: np.ndarray = array.flatten().to_numpy().reshape(len(array), -1)
    return rows


def test_it_is_an_embedder_and_gives_unit_rows_in_the_order_of_the_texts() -> None:
    embedder = _embedder()
    assert isinstance(embedder, Embedder)
    texts = ["a long text of many words", "short", "中文", "short"]
    found = embedder.embed(texts)
    assert found.type == pa.list_(pa.float32(), 8)
    rows = _values(found)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(4))
    assert [_values(embedder.embed([text]))[0].tolist() for text in texts] == rows.tolist()


def test_a_text_without_direction_stays_zero() -> None:
    assert not _values(_embedder().embed([""])).any()


def test_no_texts_give_no_rows_of_the_right_width() -> None:
    assert _embedder().embed([]).type == pa.list_(pa.float32(), 8)
    assert len(_embedder().embed([])) == 0


def test_a_text_goes_through_the_model_once(tmp_path: Path) -> None:
    embedder = _embedder(tmp_path / "memo.sqlite")
    first = _values(embedder.embed(["a", "b", "a"]))
    assert sorted(_ENCODED) == ["a", "b"]
    again = _values(_embedder(tmp_path / "memo.sqlite").embed(["b", "c", "a"]))
    assert sorted(_ENCODED) == ["a", "b", "c"]
    assert again[[2, 0]].tolist() == first[:2].tolist()
    assert (embedder.usage().requested, embedder.usage().executed) == (3, 2)


def test_another_model_shares_nothing(tmp_path: Path) -> None:
    _embedder(tmp_path / "memo.sqlite").embed(["a"])
    _embedder(tmp_path / "memo.sqlite", revision="two").embed(["a"])
    assert _ENCODED == ["a", "a"]


def test_a_key_tells_the_text_from_the_revision() -> None:
    keys = {memo_key(text, revision=revision) for text in ("a", "ab", "\ud800") for revision in ("", "b")}
    assert len(keys) == 6


def test_without_a_memo_everything_is_encoded_again() -> None:
    embedder = _embedder()
    embedder.embed(["a"])
    embedder.embed(["a"])
    assert _ENCODED == ["a", "a"]


def test_it_travels_to_other_processes(tmp_path: Path) -> None:
    embedder = _embedder(tmp_path / "memo.sqlite")
    embedder.embed(["a"])
    copy = pickle.loads(pickle.dumps(embedder))
    assert copy == embedder
    assert _values(copy.embed(["a"])).tolist() == _values(embedder.embed(["a"])).tolist()


def test_the_memo_keeps_every_bit_and_stays_in_its_bound(tmp_path: Path) -> None:
    memo = RowMemo(tmp_path / "memo.sqlite", max_bytes=50_000, dtype=np.float32)
    rows = np.random.default_rng(0).normal(size=(200, 96)).astype(np.float32)
    for at, row in enumerate(rows):
        memo.put({f"{at}": row})
    found = memo.get([f"{at}" for at in range(200)])
    assert 60 < len(found) < 90
    assert "199" in found
    assert "0" not in found
    assert all(np.array_equal(found[key], rows[int(key)]) for key in found)


def _table(count: int, start: int = 0) -> pa.Table:
    rows = [
        {
            "id": f"row-{at}",
            "history": [{"role": "user", "content": "before"}] if at % 2 else [],
            "question": f"question {at}",
            "answer": None if at % 3 == 0 else f"answer {at}",
            "origin": "source",
        }
        for at in range(start, start + count)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def test_a_row_is_embedded_by_its_question_answer_and_turns() -> None:
    assert row_texts(_table(3)) == ["question 0", "question 1\nanswer 1\nbefore", "question 2\nanswer 2"]


def test_a_part_of_embeddings_has_the_ids_and_rows_of_its_part(tmp_path: Path) -> None:
    embedder, out = _embedder(), Storage.at(tmp_path / "out")
    written = EmbedPart(embedder=embedder, out=out)(4, pa.concat_tables([_table(5), _table(1)]))
    assert written.counts == {"embeddings:requested": 6, "embeddings:executed": 5}
    table = out.read_table(written.part.file).slice(0, 5)
    assert table["id"].to_pylist() == [f"row-{at}" for at in range(5)]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), 8)
    assert (
        _values(table["embedding"].combine_chunks()).tolist() == _values(embedder.embed(row_texts(_table(5)))).tolist()
    )


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_pass_of_workers_embeds_a_stored_dataset_in_its_order(tmp_path: Path) -> None:
    import tests.actors.models.test_embedder as module  # by the name under which workers import it

    embedder = SentenceEmbedder(
        model=ResolvedModel(source="fake", revision="one"), memo=str(tmp_path / "memo.sqlite"), load=module.load_fake
    )
    dataset = StoredDataset.write(Storage.at(tmp_path / "rows"), [_table(7), _table(5, 7), _table(9, 12)])
    out = Storage.at(tmp_path / "embeddings")
    seen: list[tuple[int, int]] = []
    embeddings = embed_dataset(
        dataset, embedder, out=out, pool=PoolConfig(), on_progress=lambda done, whole: seen.append((done, whole))
    )
    assert seen[-1] == (21, 21)
    assert embeddings.manifest.counts == {"embeddings:requested": 21, "embeddings:executed": 21}
    assert embeddings.read(["id"])["id"].to_pylist() == dataset.read(["id"])["id"].to_pylist()
    expected = _values(_embedder().embed(row_texts(dataset.read())))
    matrix = EmbeddingMatrix.stored(embeddings)
    assert matrix.take(np.arange(21)) == pytest.approx(expected, abs=1e-6)
    assert embed_dataset(dataset, embedder, out=out, pool=PoolConfig()) == embeddings


@pytest.mark.slow
def test_minilm_finds_like_texts_alike(tmp_path: Path) -> None:
    embedder = SentenceEmbedder.of(DEFAULT_EMBEDDER, memo=tmp_path / "memo.sqlite")
    texts = ["How do I cook rice?", "What is the way to boil rice?", "The stock market fell today."]
    rows = _values(embedder.embed(texts))
    assert rows.shape == (3, 384)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    cosines = rows @ rows.T
    assert cosines[0, 1] > 0.6 > 0.3 > cosines[0, 2]
    assert _values(embedder.embed(texts)).tolist() == rows.tolist()
    assert (embedder.usage().requested, embedder.usage().executed) == (6, 3)
    assert as_arrow(rows).type == pa.list_(pa.float32(), 384)
