"""Preparation: every input row is in one place, held-out rows stay clean and out of training, seeds decide."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.config.run_config import Config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, find_prepared, prepare
from autodp_ray.preparation.row_index import RowIndex, index_rows
from autodp_ray.progress import Silent
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix
from autodp_ray.sampling.row_embedding import EmbeddedTable
from autodp_ray.sampling.search_sample import RowModels
from operators.contract.errors import InputError, RunError
from operators.rows.conversation import answers_without_loss
from operators.testing.fakes import FakeScreener
from tests.autodp_ray.run_fakes import NO_MODELS, make_config, pair, write_jsonl

NUM_ROWS = 60


def rows_with_copies() -> list[dict[str, str] | str]:
    """60 rows of their own, 8 near-copies, 3 incomplete rows, and 2 lines that are no rows."""
    near = [{**pair(number), "output": pair(number)["output"].replace(".", "!")} for number in range(8)]
    incomplete = [{**pair(100 + number), "output": ""} for number in range(3)]
    return [*(pair(number) for number in range(NUM_ROWS)), *near, "{broken", *incomplete, '"no row"']


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "data.jsonl", rows_with_copies())


def prepared(config: Config, run: Path, *, models: RowModels = NO_MODELS) -> Prepared:
    storage = Storage.at(run)
    return prepare(config, run=storage, journal=Journal(storage), progress=Silent(), models=models)


def ids(found: Prepared) -> dict[str, list[str]]:
    splits = ("train", "sample", "guide", "validation", "test")
    return {name: getattr(found, name).read(["id"])["id"].to_pylist() for name in splits}


def accounted(found: Prepared) -> int:
    held_out = found.guide.num_rows + found.validation.num_rows + found.test.num_rows
    return found.train.num_rows + held_out + found.num_set_aside + found.num_quarantined


def corrupting(data: Path, rate: float = 0.5, **sections: object) -> Config:
    dataset = {"path": str(data), "language": "en", "corruption": {"rate": rate}}
    return make_config(data, dataset=dataset, **sections)


def test_every_row_is_trained_on_held_out_set_aside_or_quarantined(data: Path, tmp_path: Path) -> None:
    found = prepared(make_config(data), tmp_path / "run")
    assert found.num_in == NUM_ROWS + 8 + 3 + 2
    assert found.num_quarantined == 2
    assert accounted(found) == found.num_in
    assert [found.guide.num_rows, found.validation.num_rows, found.test.num_rows] == [4, 6, 8]


def test_every_id_of_the_input_is_written_down_once_beside_its_split(data: Path, tmp_path: Path) -> None:
    found = prepared(make_config(data), tmp_path / "run")
    written = Storage.at(tmp_path / "run").read_table("splits/ids.arrow")
    places = Counter(written["split"].to_pylist())
    assert places == {
        "train": found.train.num_rows,
        "sample": found.sample.num_rows,
        "guide": 4,
        "validation": 6,
        "test": 8,
        **({"set_aside": found.num_set_aside} if found.num_set_aside else {}),
    }
    listed = [row_id for split, row_id in zip(*written.to_pydict().values(), strict=True) if split != "sample"]
    assert len(listed) == len(set(listed)) == found.num_in - found.num_quarantined


def test_no_held_out_row_is_in_train_or_sample(data: Path, tmp_path: Path) -> None:
    found = ids(prepared(corrupting(data), tmp_path / "run"))
    held_out = {*found["guide"], *found["validation"], *found["test"]}
    assert len(held_out) == 18
    assert not held_out & {*found["train"], *found["sample"]}
    assert set(found["sample"]) <= set(found["train"])


def test_no_near_copy_of_a_held_out_row_is_in_train(data: Path, tmp_path: Path) -> None:
    found = prepared(
        make_config(data, splits={"guide": 10, "validation": 20, "test": 15, "min_train": 5}), tmp_path / "r"
    )
    held_out = {
        row["question"] for split in (found.guide, found.validation, found.test) for row in split.read().to_pylist()
    }
    assert not held_out & set(found.train.read()["question"].to_pylist())
    assert found.num_set_aside > 0


def test_rows_whose_answer_nobody_may_learn_are_trained_on_and_not_held_out(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": one["instruction"]}, {**answer, "weight": number % 2}]}
        for number, one in enumerate(map(pair, range(NUM_ROWS)))
        for answer in [{"role": "assistant", "content": one["output"]}]
    ]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = prepared(make_config(data), tmp_path / "run")
    for split, unlearnt in ((found.validation, 0), (found.test, 0), (found.train, NUM_ROWS // 2)):
        assert sum(answers_without_loss(split.read()["history"].combine_chunks()).to_pylist()) == unlearnt


def test_held_out_rows_are_complete(data: Path, tmp_path: Path) -> None:
    found = prepared(make_config(data), tmp_path / "run")
    for split in (found.guide, found.validation, found.test):
        assert split.read()["answer"].null_count == 0


@pytest.mark.parametrize("is_damaged", [False, True])
def test_what_is_said_of_the_rows_adds_up_to_those_of_the_result(data: Path, tmp_path: Path, is_damaged: bool) -> None:
    said: list[str] = []

    class Listening(Silent):
        def note(self, text: str) -> None:
            said.append(text)

    config, storage = corrupting(data) if is_damaged else make_config(data), Storage.at(tmp_path / "run")
    found = prepare(config, run=storage, journal=Journal(storage), progress=Listening(), models=NO_MODELS)
    counts = [int(number) for number in re.findall(r"(\d+) (?:rows read|planted|quarantined)", said[-1])]
    assert (len(counts), sum(counts)) == (2 + is_damaged, found.num_in)


def test_corruption_touches_the_train_split_alone_and_is_accounted_for(data: Path, tmp_path: Path) -> None:
    clean, damaged = prepared(make_config(data), tmp_path / "a"), prepared(corrupting(data), tmp_path / "b")
    for name in ("guide", "validation", "test"):
        assert getattr(clean, name).content_hash == getattr(damaged, name).content_hash
    assert clean.train.content_hash != damaged.train.content_hash
    assert set(ids(clean)["train"]) < set(ids(damaged)["train"])
    assert accounted(damaged) == damaged.num_in
    truth = pa.csv.read_csv(tmp_path / "b" / "splits" / "corruption.csv")
    assert set(truth["id"].to_pylist()) <= set(ids(damaged)["train"])
    assert not (tmp_path / "a" / "splits" / "corruption.csv").exists()


def test_without_a_screener_nothing_is_known_of_noisy_rows(data: Path, tmp_path: Path) -> None:
    assert prepared(make_config(data), tmp_path / "run").num_noisy is None


def test_a_screener_keeps_held_out_rows_clean_and_the_samples_share_of_noisy_ones(
    tmp_path: Path,
) -> None:
    noisy = [{**pair(200 + at), "instruction": f"{pair(200 + at)['instruction']} !"} for at in range(20)]
    data = write_jsonl(tmp_path / "data.jsonl", [*(pair(at) for at in range(NUM_ROWS)), *noisy])
    found = prepared(make_config(data), tmp_path / "run", models=replace(NO_MODELS, screener=FakeScreener()))
    marked = {
        name: sum("!" in text for text in getattr(found, name).read()["question"].to_pylist())
        for name in ("train", "sample", "guide", "validation", "test")
    }
    assert found.train.num_rows == 62
    assert marked == {"train": 20, "sample": 10, "guide": 0, "validation": 0, "test": 0}
    assert found.num_noisy == 10
    storage = Storage.at(tmp_path / "run")
    assert find_prepared(storage, Journal(storage)) == found


def test_a_sample_that_is_drawn_by_embeddings_says_how_many_were_made(data: Path, tmp_path: Path) -> None:
    storage, asked = Storage.at(tmp_path / "run"), []

    def embed(table: pa.Table) -> EmbeddedTable:
        asked.extend(table["id"].to_pylist())
        rows = np.random.default_rng(0).normal(size=(table.num_rows, 8))
        return EmbeddedTable(matrix=EmbeddingMatrix.of_array(rows), requested=table.num_rows, executed=3)

    config = make_config(data, sampling={"rate": 0.5})
    found = prepared(config, tmp_path / "run", models=RowModels(embed=embed))
    assert asked == ids(found)["train"]
    assert found.sample.num_rows == pytest.approx(found.train.num_rows / 2, abs=1)
    event = Journal(storage).find("prepared")
    assert event is not None
    assert event["embeddings"] == {"requested": found.train.num_rows, "executed": 3}


def test_the_same_seed_makes_the_same_splits_also_of_shuffled_rows(data: Path, tmp_path: Path) -> None:
    shuffled = write_jsonl(tmp_path / "shuffled.jsonl", rows_with_copies()[::-1])
    first, again, other = (
        prepared(corrupting(path), tmp_path / name) for path, name in ((data, "1"), (data, "2"), (shuffled, "3"))
    )
    assert ids(first) == ids(again)
    assert first.train.content_hash == again.train.content_hash
    for name in ("guide", "validation", "test"):
        assert getattr(first, name).content_hash == getattr(other, name).content_hash


def test_another_seed_makes_other_splits(data: Path, tmp_path: Path) -> None:
    first, other = prepared(make_config(data), tmp_path / "1"), prepared(make_config(data, seed=1), tmp_path / "2")
    assert set(ids(first)["test"]) != set(ids(other)["test"])
    assert set(ids(first)["sample"]) != set(ids(other)["sample"])


def test_a_resumed_run_finds_what_was_prepared_without_reading_the_input(data: Path, tmp_path: Path) -> None:
    config = corrupting(data)
    first = prepared(config, tmp_path / "run")
    data.unlink()
    assert prepared(config, tmp_path / "run") == first
    storage = Storage.at(tmp_path / "run")
    assert find_prepared(storage, Journal(storage)) == first
    assert Journal(storage).count("prepared") == 1


def test_a_run_that_was_killed_while_it_prepared_starts_over(data: Path, tmp_path: Path) -> None:
    storage = Storage.at(tmp_path / "run")
    storage.write_text("splits/train/part-000009.arrow", "left over")
    storage.write_text("quarantine/quarantine.jsonl", "left over")
    found = prepared(make_config(data), tmp_path / "run")
    assert found.train.folder.names() == ["manifest.json", "part-000000.arrow"]
    lines = (tmp_path / "run" / "quarantine" / "quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in lines] == [69, 73]


def test_a_run_that_prepared_nothing_has_nothing_to_find(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)
    with pytest.raises(RunError, match="has prepared no data yet"):
        find_prepared(storage, Journal(storage))


def test_splits_that_are_gone_are_named(data: Path, tmp_path: Path) -> None:
    prepared(make_config(data), tmp_path / "run")
    storage = Storage.at(tmp_path / "run")
    storage.delete("splits/validation")
    with pytest.raises(
        RunError, match=r"splits/validation is gone although the journal has it; start over with --fresh"
    ):
        find_prepared(storage, Journal(storage))


@pytest.mark.parametrize("split", ["sample", "guide", "validation", "test"])
def test_a_run_does_not_go_on_with_splits_that_are_damaged(data: Path, tmp_path: Path, split: str) -> None:
    prepared(make_config(data), tmp_path / "run")
    part = tmp_path / "run" / "splits" / split / "part-000000.arrow"
    whole = part.read_bytes()
    part.write_bytes(whole[:300] + bytes([whole[300] ^ 1]) + whole[301:])
    with pytest.raises(RunError, match=rf"splits/{split}/part-000000\.arrow is damaged.*; start over with --fresh"):
        prepared(make_config(data), tmp_path / "run")


def test_files_of_their_own_for_held_out_splits_are_counted_row_by_row(data: Path, tmp_path: Path) -> None:
    own = [pair(1000 + number) for number in range(9)]
    validation = write_jsonl(tmp_path / "validation.jsonl", [*own, "{broken", {**pair(1), "output": ""}])
    splits = {"guide": 4, "validation": 6, "test": 8, "min_train": 10, "validation_path": str(validation)}
    found = prepared(make_config(data, splits=splits), tmp_path / "run")
    assert found.num_in == NUM_ROWS + 8 + 3 + 2 + 11
    assert found.num_quarantined == 3
    assert accounted(found) == found.num_in
    assert set(found.validation.read()["question"].to_pylist()) <= {row["instruction"] for row in own}
    assert (tmp_path / "run" / "quarantine" / "validation" / "quarantine.jsonl").exists()


def test_rows_are_cut_into_parts_that_a_worker_can_hold(data: Path, tmp_path: Path) -> None:
    found = prepared(make_config(data, pool={"part_rows": 16}), tmp_path / "run")
    assert all(part.num_rows <= 16 for part in found.train.manifest.parts)
    assert len(found.train.manifest.parts) > 1


def test_a_split_of_no_rows_keeps_the_schema(data: Path, tmp_path: Path) -> None:
    found = prepared(
        make_config(data, splits={"guide": 0, "validation": 6, "test": 8, "min_train": 10}), tmp_path / "r"
    )
    assert found.guide.num_rows == 0
    assert found.guide.read().schema == found.train.read().schema


@pytest.mark.parametrize(("text", "language"), [("痛风应该怎么治疗呢", "zh"), ("how is gout treated", "en")])
def test_the_language_is_told_from_the_answers(tmp_path: Path, text: str, language: str) -> None:
    rows = [{"instruction": f"{text}{number}", "output": f"{text} {number * 7919}" * 2} for number in range(40)]
    data = write_jsonl(tmp_path / "data.jsonl", rows)
    config = make_config(
        data,
        dataset={"path": str(data)},
        splits={"guide": 0, "validation": 2, "test": 2, "min_train": 1, "near_duplicate_threshold": 1.0},
    )
    assert prepared(config, tmp_path / "run").language == language


def test_too_few_rows_are_bad_input_and_leave_no_event(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(12)])
    with pytest.raises(InputError, match=r"too few rows for its splits: 12 rows.*or lower splits\.test"):
        prepared(make_config(data), tmp_path / "run")
    assert list(Journal(Storage.at(tmp_path / "run"))) == []


def test_the_journal_event_holds_counts_and_no_text(tmp_path: Path) -> None:
    rows = [{**pair(number), "output": f"canary-{number} {pair(number)['output']}"} for number in range(60)]
    prepared(make_config(write_jsonl(tmp_path / "d.jsonl", rows)), tmp_path / "run")
    (event,) = Journal(Storage.at(tmp_path / "run"))
    assert event.payload["rows"] == {"train": 42, "test": 8, "validation": 6, "guide": 4, "sample": 21}
    assert "canary" not in str(event)


def test_rows_are_grouped_once_unless_they_are_damaged_in_between(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grouped: list[int] = []

    def counted(sources: Sequence[StoredDataset], **settings: Any) -> RowIndex:  # noqa: ANN401 - passed on
        grouped.append(sum(source.num_rows for source in sources))
        return index_rows(sources, **settings)

    monkeypatch.setattr("autodp_ray.preparation.preparation.index_rows", counted)
    clean = prepared(make_config(data), tmp_path / "clean")
    assert len(grouped) == 1
    damaged = prepared(corrupting(data), tmp_path / "damaged")
    assert grouped[2:] == [damaged.train.num_rows]
    monkeypatch.setattr("autodp_ray.preparation.splits._Pool.groups_within", lambda pool, rows: None)
    assert ids(prepared(make_config(data), tmp_path / "again")) == ids(clean)
    assert len(grouped) == 5
