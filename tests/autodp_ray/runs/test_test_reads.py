"""Claims on the same test rows are counted once each, whoever tries them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.runs.test_reads import claim_of, note_test_read
from autodp_ray.strategy import Strategy
from operators.contract.digest import json_digest
from operators.rows.record import RECORD_SCHEMA
from tests.autodp_ray.run_fakes import make_config


def rows(folder: Path, answer: str) -> StoredDataset:
    row = {"id": "r1", "history": [], "question": "a", "answer": answer, "origin": "source"}
    return StoredDataset.write(Storage.at(str(folder)), [pa.Table.from_pylist([row], schema=RECORD_SCHEMA)])


def test_each_different_claim_counts_once_and_other_rows_count_for_themselves(tmp_path: Path) -> None:
    cache, test, other = Storage.at(str(tmp_path / "cache")), rows(tmp_path / "a", "b"), rows(tmp_path / "b", "c")
    assert note_test_read(cache, test, claim=["cleaning", 0]) == 1
    assert note_test_read(cache, test, claim=["cleaning", 0]) == 1, "the same run again tries nothing new"
    assert note_test_read(cache, test, claim=["cleaning", 1]) == 2
    assert note_test_read(cache, other, claim=["cleaning", 1]) == 1
    assert note_test_read(cache, test, claim=["cleaning", 0]) == 2, "what was tried since counts for it too"


def test_a_claim_is_another_one_with_another_model_judge_or_number_of_trainings(tmp_path: Path) -> None:
    def claim(**sections: object) -> str:
        config = make_config("data.jsonl", **sections)
        return json_digest(claim_of(config, sample=rows(tmp_path, "b"), strategy=Strategy(("cleaning",))))

    endpoint = {"engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
    models = {"agent": {"model": "a", **endpoint}, "operators": {"model": "a", **endpoint}}
    claims = [
        claim(models={**models, "tuned": {"model": "one"}}),
        claim(models={**models, "tuned": {"model": "two"}}),
        claim(models={**models, "tuned": {"model": "one"}}, evaluation={"confirm_seeds": 4}),
        claim(models={**models, "tuned": {"model": "one"}}, evaluation={"confirm_seeds_at_most": 12}),
        claim(models={**models, "tuned": {"model": "one"}}, evaluation={"evaluator": "judge"}),
        claim(
            models={**models, "tuned": {"model": "one"}, "judge": {"model": "b", **endpoint}},
            evaluation={"evaluator": "judge"},
        ),
    ]
    assert len(set(claims)) == len(claims)
    assert claim(models={**models, "tuned": {"model": "one"}}, pool={"num_cpus_per_worker": 2}) == claims[0]
