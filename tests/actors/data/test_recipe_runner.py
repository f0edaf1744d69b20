"""Recipes over stored datasets on a real local Ray."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import ray

from actors.cluster.kept_worker import run_on_kept_worker
from actors.data.exchange_files import SentFile
from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.data.stored_exchange import StoredExchange
from actors.storage.storage import Storage
from operators.contract.counts import Transformed, keep_rows
from operators.contract.errors import EndpointError, RunError
from operators.contract.in_process import apply_to_parts
from operators.contract.operator import DatasetOperator, Decision, Needs, Operator, RowOperator, RowTransform
from operators.contract.resources import Resources
from operators.deduplicate import Deduplicate
from operators.rows.record import RECORD_SCHEMA

pytestmark = pytest.mark.ray

WITH_MODEL = Needs(embedder=True)
"""What an operator declares to be run on actors."""
ON_TASKS = PoolConfig(part_rows=1)
"""So that no dataset here is small enough for the process that lives on."""


class DropShort(RowOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = WITH_MODEL
    reads: ClassVar[tuple[str, ...]] = ("question",)
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["drop_short"] = "drop_short"
    min_length: int = 3

    def build(self, resources: Resources) -> RowTransform:
        def drop(table: pa.Table) -> Transformed:
            return keep_rows(table, {"short": np.asarray(pc.less(pc.utf8_length(table["question"]), self.min_length))})

        return drop


class OwnPid(RowOperator):
    """Writes the number of its process into every answer, or ends it."""

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = WITH_MODEL
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ("answer",)
    name: Literal["own_pid"] = "own_pid"
    dies: bool = False

    def build(self, resources: Resources) -> RowTransform:
        def write(table: pa.Table) -> Transformed:
            if self.dies:
                os._exit(1)
            pids = pa.array([str(os.getpid())] * table.num_rows, pa.string())
            return Transformed(table=table.set_column(table.schema.get_field_index("answer"), "answer", pids))

        return write


class QuoteShots(RowOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(shots=2)
    reads: ClassVar[tuple[str, ...]] = ("question",)
    writes: ClassVar[tuple[str, ...]] = ("answer",)
    name: Literal["quote_shots"] = "quote_shots"

    def build(self, resources: Resources) -> RowTransform:
        assert resources.shots is not None
        text = "|".join(resources.shots["question"].to_pylist())

        def quote(table: pa.Table) -> Transformed:
            answers = pa.array([text] * table.num_rows, pa.string())
            return Transformed(table=table.set_column(3, "answer", answers), counts={"quoted": table.num_rows})

        return quote


class SaysWhere(RowOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["says_where"] = "says_where"

    def build(self, resources: Resources) -> RowTransform:
        where = "actor" if ray.get_runtime_context().get_actor_id() else "task"
        return lambda table: Transformed(table=table, counts={where: 1})


class SaysWhereWithModel(SaysWhere):
    needs: ClassVar[Needs] = WITH_MODEL


class Fails(RowOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["fails"] = "fails"
    endpoint: bool = False

    def build(self, resources: Resources) -> RowTransform:
        def fail(table: pa.Table) -> Transformed:
            if self.endpoint:
                raise EndpointError("http://127.0.0.1:1/v1 refused the connection 3 times")
            raise ValueError(f"secret row text: {table['question'][0]}")

        return fail


@dataclass(frozen=True, kw_only=True)
class KeepCommonest:
    """Keeps the rows of the commonest question and adds one row that says how many there were."""

    dies: bool

    def sketch(self, batch: pa.Table) -> list[str]:
        return list(batch["question"].to_pylist())

    def decide(self, sketches: Sequence[object]) -> Decision:
        if self.dies:
            os._exit(1)
        questions = [question for sketch in sketches for question in sketch]  # type: ignore[attr-defined]
        best = max(sorted(set(questions)), key=questions.count)
        row = {
            "id": "new",
            "history": None,
            "question": best,
            "answer": str(questions.count(best)),
            "origin": "generated",
        }
        return Decision(state=best, appended=pa.Table.from_pylist([row], schema=RECORD_SCHEMA), counts={"generated": 1})

    def apply(self, batch: pa.Table, decision: Decision) -> Transformed:
        return keep_rows(batch, {"rare": np.asarray(pc.not_equal(batch["question"], decision.state))})


class Commonest(DatasetOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = WITH_MODEL
    reads: ClassVar[tuple[str, ...]] = ("question",)
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["commonest"] = "commonest"
    dies: bool = False

    def build(self, resources: Resources) -> KeepCommonest:
        return KeepCommonest(dies=self.dies)


class Intruder:
    """Makes a file when it is unpickled."""

    def __init__(self, witness: str) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(self.witness),)


@dataclass(frozen=True, kw_only=True)
class KeepCommonestBesideAnIntruder(KeepCommonest):
    """Somebody else puts pickles beside the sketches while the operator is at work."""

    folder: str

    def sketch(self, batch: pa.Table) -> list[str]:
        for name in ("00000000.pickle", "99999999.pickle", "99999999.sketch", "a"):
            Storage.at(self.folder).write_bytes(name, pickle.dumps(Intruder(f"{self.folder}/../../it-ran")))
        return super().sketch(batch)


class CommonestBesideAnIntruder(Commonest):
    folder: str

    def build(self, resources: Resources) -> KeepCommonest:
        return KeepCommonestBesideAnIntruder(dies=False, folder=self.folder)


def records(questions: Sequence[str]) -> pa.Table:
    rows = [
        {"id": f"r{number}", "history": None, "question": question, "answer": "yes", "origin": "source"}
        for number, question in enumerate(questions)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def stored(folder: Path, table: pa.Table, *, part_rows: int) -> StoredDataset:
    parts = [table.slice(start, part_rows) for start in range(0, table.num_rows, part_rows)]
    return StoredDataset.write(Storage.at(folder), parts)


QUESTIONS = ["aa", "bbbb", "cccc", "bbbb", "dddd", "b", "bbbb"]


@pytest.mark.parametrize(("part_rows", "actor_pool_min_parts"), [(1, 1), (1, 1000), (3, 1000), (100, 1)])
def test_rows_and_counts_do_not_depend_on_parts_or_workers(
    local_ray: None, tmp_path: Path, part_rows: int, actor_pool_min_parts: int
) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=part_rows)
    pool = PoolConfig(actor_pool_min_parts=actor_pool_min_parts, max_workers=2)
    done = run_recipe(
        dataset,
        [DropShort(), Commonest()],
        resources=Resources(),
        out=Storage.at(tmp_path / "out"),
        pool=pool,
    )
    done.verify()
    table = done.read()
    assert sorted(table["id"].to_pylist()) == ["new", "r1", "r3", "r6"]
    assert done.manifest.counts == {"dropped:short": 2, "dropped:rare": 2, "generated": 1}
    assert not any(Storage.at(tmp_path / "out").exists(name) for name in ("stage-0", "sketches"))


@pytest.mark.parametrize(
    ("operator", "actor_pool_min_parts", "where"),
    [(SaysWhereWithModel(), 3, "actor"), (SaysWhereWithModel(), 4, "task"), (SaysWhere(), 3, "task")],
)
def test_only_work_with_models_on_many_parts_runs_on_actors(
    local_ray: None, tmp_path: Path, operator: Operator, actor_pool_min_parts: int, where: str
) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    pool = PoolConfig(actor_pool_min_parts=actor_pool_min_parts, part_rows=3)
    done = run_recipe(dataset, [operator], resources=Resources(), out=Storage.at(tmp_path / "out"), pool=pool)
    assert done.manifest.counts == {where: 3}


def test_a_decision_that_kills_its_worker_fails_the_operator_and_leaves_no_dataset(
    local_ray: None, tmp_path: Path
) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    out = Storage.at(tmp_path / "out")
    with pytest.raises(RunError, match="commonest failed in Ray"):
        run_recipe(dataset, [Commonest(dies=True)], resources=Resources(), out=out, pool=ON_TASKS)
    assert StoredDataset.open(out) is None
    assert not out.exists("sketches")


@pytest.mark.parametrize("pool", [ON_TASKS, PoolConfig()], ids=["tasks", "kept"])
def test_files_that_others_put_beside_the_sketches_are_neither_run_nor_read(
    local_ray: None, tmp_path: Path, pool: PoolConfig
) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    out = Storage.at(tmp_path / "out")
    operator = CommonestBesideAnIntruder(folder=out.path("sketches"))
    done = run_recipe(dataset, [operator], resources=Resources(), out=out, pool=pool)
    assert not (tmp_path / "it-ran").exists()
    assert done.manifest.counts == {"dropped:rare": 4, "generated": 1}


@pytest.mark.parametrize("pool", [ON_TASKS, PoolConfig()], ids=["tasks", "kept"])
def test_copies_are_dropped_as_without_ray(local_ray: None, tmp_path: Path, pool: PoolConfig) -> None:
    rows = records([f"What is number {number % 7} of the {number % 5}?" for number in range(60)])
    dataset, out = stored(tmp_path / "in", rows, part_rows=25), Storage.at(tmp_path / "out")
    operator = Deduplicate()
    expected = apply_to_parts(operator.build(Resources()), list(dataset.batches()))
    done = run_recipe(dataset, [operator], resources=Resources(), out=out, pool=pool)
    assert done.read()["id"].to_pylist() == pa.concat_tables([one.table for one in expected])["id"].to_pylist()
    assert done.manifest.counts == {"dropped:near_duplicate": 25}
    assert not out.exists("exchange")


@pytest.mark.parametrize("pool", [ON_TASKS, PoolConfig()], ids=["tasks", "kept"])
def test_what_others_change_between_steps_is_refused_and_leaves_no_dataset(
    local_ray: None, tmp_path: Path, pool: PoolConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, out = stored(tmp_path / "in", records(QUESTIONS), part_rows=3), Storage.at(tmp_path / "out")
    send = StoredExchange.send

    def changed(exchange: StoredExchange, files: Sequence[SentFile]) -> list[object]:
        data = exchange.folder.read_bytes(files[0].name)
        exchange.folder.write_bytes(files[0].name, data.replace(b"keys", b"seyk"))
        return send(exchange, files)

    monkeypatch.setattr(StoredExchange, "send", changed)
    with pytest.raises(RunError, match=r"deduplicate: .* is not what a worker of this run wrote"):
        run_recipe(dataset, [Deduplicate()], resources=Resources(), out=out, pool=pool)
    assert StoredDataset.open(out) is None
    assert not out.exists("exchange")


def test_few_shots_come_from_the_operators_own_input(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=2)
    resources = Resources()
    together = run_recipe(
        dataset, [DropShort(), QuoteShots()], resources=resources, out=Storage.at(tmp_path / "a"), pool=ON_TASKS
    )
    shots = set(together.read()["answer"].to_pylist())
    assert len(shots) == 1
    assert "aa" not in shots.pop().split("|")
    assert together.manifest.counts == {"dropped:short": 2, "quoted": 5}


def test_an_endpoint_fault_comes_back_as_itself_and_leaves_no_dataset(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    out = Storage.at(tmp_path / "out")
    with pytest.raises(EndpointError, match=r"fails: http://127\.0\.0\.1:1/v1 refused"):
        run_recipe(dataset, [Fails(endpoint=True)], resources=Resources(), out=out, pool=ON_TASKS)
    assert StoredDataset.open(out) is None


def test_an_operators_crash_names_the_place_and_quotes_no_row(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    with pytest.raises(RunError, match=r"fails: ValueError at .*test_recipe_runner.py") as caught:
        run_recipe(dataset, [Fails()], resources=Resources(), out=Storage.at(tmp_path / "out"), pool=ON_TASKS)
    assert "secret" not in str(caught.value)


def test_an_empty_result_keeps_its_schema(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(["a", "b"]), part_rows=1)
    done = run_recipe(dataset, [DropShort()], resources=Resources(), out=Storage.at(tmp_path / "out"), pool=ON_TASKS)
    assert done.num_rows == 0
    assert done.read().schema.equals(RECORD_SCHEMA)
    assert done.manifest.counts == {"dropped:short": 2}


def test_passes_over_few_rows_share_a_process_and_what_it_loaded(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    found = [
        run_recipe(
            dataset, [OwnPid()], resources=Resources(), out=Storage.at(tmp_path / str(number)), pool=PoolConfig()
        )
        for number in range(3)
    ]
    pids = {answer for each in found for answer in each.read()["answer"].to_pylist()}
    assert len(pids) == 1
    assert str(os.getpid()) not in pids


def test_a_process_that_dies_fails_its_pass_and_the_next_one_gets_another(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    with pytest.raises(RunError, match="own_pid failed in Ray"):
        run_recipe(
            dataset, [OwnPid(dies=True)], resources=Resources(), out=Storage.at(tmp_path / "a"), pool=PoolConfig()
        )
    assert StoredDataset.open(Storage.at(tmp_path / "a")) is None
    again = run_recipe(dataset, [OwnPid()], resources=Resources(), out=Storage.at(tmp_path / "b"), pool=PoolConfig())
    assert again.num_rows == dataset.num_rows


def test_passes_at_one_time_have_a_process_each(local_ray: None, tmp_path: Path) -> None:
    meeting = partial(own_pid_once_two_are_there, tmp_path)
    with ThreadPoolExecutor(max_workers=2) as pool:
        first, second = pool.map(run_on_kept_worker, [meeting, meeting])
    assert first != second
    assert run_on_kept_worker(os.getpid) in (first, second)


def own_pid_once_two_are_there(folder: Path) -> int:
    """The process that runs this, which waits for the other one: in one process after the other they never meet."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2:
        assert time.monotonic() < deadline, "the other pass did not run at the same time"
        time.sleep(0.02)
    return os.getpid()
