"""Operators are built once per process, with what they need and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa
import pytest
import ray

from actors.data.lent_operator import LastBuilt, LentOperator, built_rows, lent_resources
from actors.data.part_jobs import ApplyRows, PartWriter
from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from operators.contract.counts import Transformed
from operators.contract.operator import DatasetOperator, Decision, Needs, RowOperator, RowTransform
from operators.contract.resources import Resources
from operators.rows.record import RECORD_SCHEMA
from operators.testing.fakes import FakeCompleter, FakeScorer, FakeScreener, FakeTokenizer

NUM_PARTS = 20
POOLS = {
    "tasks": PoolConfig(part_rows=1),
    "actors": PoolConfig(part_rows=1, actor_pool_min_parts=1, max_workers=2),
    "kept": PoolConfig(),
}


class LoadsAModel(RowOperator):
    """Adds a line with the number of its process to a file whenever it is built."""

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(own_model=True, language=True)
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["loads_a_model"] = "loads_a_model"
    witness: str

    def build(self, resources: Resources) -> RowTransform:
        write_line(self.witness)
        return lambda table: Transformed(table=table)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreeParts:
    """Says in which process each part ran."""

    witness: str

    def sketch(self, batch: pa.Table) -> int:
        write_line(f"{self.witness}-ran")
        num_rows: int = batch.num_rows
        return num_rows

    def decide(self, sketches: Sequence[object]) -> Decision:
        write_line(f"{self.witness}-ran")
        return Decision(counts={"seen": sum(number for number in sketches if isinstance(number, int))})

    def apply(self, batch: pa.Table, decision: Decision) -> Transformed:
        write_line(f"{self.witness}-ran")
        return Transformed(table=batch)


class LoadsAModelForAll(DatasetOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(own_model=True)
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["loads_a_model_for_all"] = "loads_a_model_for_all"
    witness: str

    def build(self, resources: Resources) -> ThreeParts:
        write_line(self.witness)
        return ThreeParts(witness=self.witness)


class WantsAGPU(LoadsAModel):
    """Writes down the GPUs of its worker."""

    needs: ClassVar[Needs] = Needs(gpus=1, cpus=2)

    def build(self, resources: Resources) -> RowTransform:
        placed = ray.get_runtime_context().get_assigned_resources()

        def note(table: pa.Table) -> Transformed:
            write_line(self.witness, f"{placed.get('CPU')} {ray.get_gpu_ids()}")
            return Transformed(table=table)

        return note


class WantsAGPUForAll(LoadsAModelForAll):
    needs: ClassVar[Needs] = Needs(gpus=1)

    def build(self, resources: Resources) -> ThreeParts:
        write_line(self.witness, str(ray.get_gpu_ids()))
        return ThreeParts(witness=self.witness)


def write_line(file: str, text: str | None = None) -> None:
    with Path(file).open("a", encoding="utf-8") as lines:
        lines.write(f"{text or os.getpid()}\n")


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def twenty_parts(folder: Path) -> StoredDataset:
    rows = [
        {"id": f"r{number:02d}", "history": None, "question": "q?", "answer": "a", "origin": "source"}
        for number in range(NUM_PARTS)
    ]
    table = pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)
    return StoredDataset.write(Storage.at(folder), [table.slice(start, 1) for start in range(NUM_PARTS)])


@pytest.mark.ray
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_twenty_parts_build_an_operator_once_per_process(local_ray: None, tmp_path: Path, pool: PoolConfig) -> None:
    dataset, operator = twenty_parts(tmp_path / "in"), LoadsAModel(witness=str(tmp_path / "built"))
    for number in range(2):
        run_recipe(dataset, [operator], resources=Resources(), out=Storage.at(tmp_path / str(number)), pool=pool)
    builders = lines_of(tmp_path / "built")
    assert len(builders) == len(set(builders)) < NUM_PARTS


@pytest.mark.ray
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)
def test_the_three_parts_of_a_dataset_operator_share_what_a_process_built(
    local_ray: None, tmp_path: Path, pool: PoolConfig
) -> None:
    dataset, operator = twenty_parts(tmp_path / "in"), LoadsAModelForAll(witness=str(tmp_path / "built"))
    done = run_recipe(dataset, [operator], resources=Resources(), out=Storage.at(tmp_path / "out"), pool=pool)
    assert done.manifest.counts == {"seen": NUM_PARTS}
    assert len(lines_of(tmp_path / "built-ran")) == 2 * NUM_PARTS + 1
    assert Counter(lines_of(tmp_path / "built")) == dict.fromkeys(lines_of(tmp_path / "built-ran"), 1)


def run_on_a_node_with_a_gpu(folder: Path) -> None:
    """Runs the two operators that want one on a Ray of their own."""
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=1,
        object_store_memory=256 * 1024**2,
        include_dashboard=False,
        log_to_driver=False,
    )
    dataset = twenty_parts(folder / "in")
    for operator in (WantsAGPU(witness=str(folder / "rows")), WantsAGPUForAll(witness=str(folder / "all"))):
        out = Storage.at(folder / operator.name)
        run_recipe(dataset, [operator], resources=Resources(), out=out, pool=PoolConfig())


@pytest.mark.slow
@pytest.mark.ray
def test_an_operator_is_placed_where_it_has_the_gpus_and_cpus_that_it_needs(tmp_path: Path) -> None:
    module = "tests.actors.data.test_lent_operator"
    script = f"from pathlib import Path; from {module} import *; run_on_a_node_with_a_gpu(Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    assert set(lines_of(tmp_path / "rows")) == {"2.0 [0]"}
    assert set(lines_of(tmp_path / "all")) == {"[0]"}


def test_a_process_builds_anew_for_other_settings_and_other_resources(tmp_path: Path) -> None:
    witness = tmp_path / "built"
    operator = LoadsAModel(witness=str(witness))
    chinese = Resources(language="zh")
    orders = [(operator, Resources()), (operator, Resources()), (operator, chinese), (operator, chinese)]
    orders.append((operator.model_copy(update={"seed": 1}), chinese))
    built = [built_rows(LentOperator[RowOperator].of(one, resources)) for one, resources in orders]
    assert [one.resources.language for one in built] == ["en", "en", "zh", "zh", "zh"]
    assert built[0] is built[1]
    assert built[2] is built[3]
    assert len(lines_of(witness)) == 3


def test_an_operator_is_lent_what_it_needs_and_no_more() -> None:
    everything = Resources(
        completer=FakeCompleter(lambda request: ""),
        tokenizer=FakeTokenizer(),
        influence=FakeScorer(),
        screener=FakeScreener(),
        shots=RECORD_SCHEMA.empty_table(),
        language="zh",
        domain="law",
        content_columns=("topic",),
    )
    assert lent_resources(Needs(), everything) == Resources()
    assert lent_resources(Needs(tokenizer=True), everything) == Resources(tokenizer=everything.tokenizer)
    asks = lent_resources(Needs(completer=True, content_columns=True), everything)
    assert asks == Resources(
        completer=everything.completer, language="zh", domain="law", content_columns=everything.content_columns
    )


def test_what_was_used_longest_ago_is_let_go_and_a_key_has_one_value() -> None:
    kept: LastBuilt[str] = LastBuilt(2)
    made: list[str] = []

    def get(key: str, digest: str) -> None:
        kept.get(key, digest, lambda: made.append(key + digest) or "")  # type: ignore[func-returns-value]

    for key, digest in map(tuple, ["a1", "b1", "a1", "c1", "a1", "b1", "b2", "b1"]):
        get(key, digest)
    assert made == ["a1", "b1", "c1", "b1", "b2", "b1"]


def test_a_build_that_fails_is_tried_again() -> None:
    kept: LastBuilt[int] = LastBuilt(2)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", "1", lambda: 1 // 0)
    assert kept.get("a", "1", lambda: 7) == 7


def test_one_part_after_another_is_written_by_the_same_transform(tmp_path: Path) -> None:
    witness = tmp_path / "built"
    job = ApplyRows(
        operators=[LentOperator.of(LoadsAModel(witness=str(witness)), Resources())],
        out=PartWriter(folder=Storage.at(tmp_path / "out")),
        rows_at_once=1,
    )
    for index in range(3):
        job(index, RECORD_SCHEMA.empty_table())
    assert len(lines_of(witness)) == 1
