"""Target selection: clean rows pass by, verdicts are taken once per team, and no layout of parts changes the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.data.target_selection import VERDICT, with_verdicts, work_on_targets
from actors.screening.screener import RowScreener
from actors.storage.storage import Storage
from operators.contract.counts import Transformed, keep_rows
from operators.contract.errors import EndpointError, RunError
from operators.contract.operator import Needs, Operator, RowOperator, RowTransform
from operators.contract.resources import Resources
from operators.deduplicate import Deduplicate
from operators.generate_pair import GeneratePair
from operators.rows.record import RECORD_SCHEMA
from operators.select_by_gradient import SelectByGradient
from operators.testing.fakes import FakeCompleter, FakeScorer, FakeScreener
from tests.actors.data.test_recipe_runner import Commonest, DropShort, QuoteShots, records, stored


class UnreachableScreener:
    revision = "gone"

    def needs_work(self, table: pa.Table) -> np.ndarray:
        raise EndpointError("http://127.0.0.1:1/screener refused the connection 3 times")


class FixedScreener:
    def __init__(self, verdicts: np.ndarray) -> None:
        self._verdicts = verdicts
        self.revision = "fixed"

    def needs_work(self, table: pa.Table) -> np.ndarray:
        return self._verdicts


class WordyProbabilities:
    """Short questions need work; a verdict on "??" cannot be read."""

    revision = "wordy"
    threshold = 0.5

    def probabilities(self, table: pa.Table) -> list[float | None]:
        questions = table["question"].to_pylist()
        return [None if question == "??" else float(len(question) < 4) for question in questions]


class CleanQuestion(RowOperator):
    """Takes the exclamation marks away, so that the screener would find the row clean."""

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ("question",)
    writes: ClassVar[tuple[str, ...]] = ("question",)
    name: Literal["clean_question"] = "clean_question"

    def build(self, resources: Resources) -> RowTransform:
        def clean(table: pa.Table) -> Transformed:
            done = table.set_column(2, "question", pc.replace_substring(table["question"], "!", ""))
            return Transformed(table=done, counts={"cleaned": table.num_rows})

        return clean


class Sees(RowOperator):
    """Counts the rows it is shown, and changes none."""

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["sees"] = "sees"

    def build(self, resources: Resources) -> RowTransform:
        return lambda table: Transformed(table=table, counts={"seen": table.num_rows})


class SeesAll(Sees):
    targeted: ClassVar[bool | None] = False


SCREENED = Resources(screener=FakeScreener())
QUESTIONS = ["aa", "b!", "bbbb", "cc!!", "dddd", "a!b!c", "ee!"]


def run(folder: Path, dataset: StoredDataset, recipe: Sequence[Operator], resources: Resources) -> StoredDataset:
    done = run_recipe(dataset, recipe, resources=resources, out=Storage.at(folder), pool=PoolConfig())
    done.verify()
    assert done.read().schema.equals(RECORD_SCHEMA)
    return done


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.booleans()), max_size=12))
def test_targets_are_worked_on_and_every_row_keeps_its_place(rows: list[tuple[bool | None, bool]]) -> None:
    table = records([f"q{number}" for number in range(len(rows))])
    table = table.append_column(VERDICT, pa.array([needs for needs, _ in rows], pa.bool_()))
    dropped = {f"r{number}" for number, (_, drop) in enumerate(rows) if drop}

    def work(part: pa.Table) -> Transformed:
        return keep_rows(part, {"named": np.array([row_id in dropped for row_id in part["id"].to_pylist()], bool)})

    done = work_on_targets(table, work)
    kept = [f"r{number}" for number, (needs, drop) in enumerate(rows) if not (needs and drop)]
    assert done.table["id"].to_pylist() == kept
    assert done.table.schema.field(VERDICT) == table.schema.field(VERDICT)
    lost = len(rows) - len(kept)
    assert done.counts == ({"dropped:named": lost} if lost else {})


def test_a_table_without_verdicts_is_left_alone() -> None:
    table = records(["a!", "b"])
    assert work_on_targets(table, lambda part: Transformed(table=part.slice(0, 0))).table.equals(table)


@pytest.mark.parametrize("verdicts", [np.ones(2, bool), np.ones(3, np.float32), np.ones((3, 1), bool)])
def test_anything_but_a_bool_for_each_row_is_no_verdict(verdicts: np.ndarray) -> None:
    with pytest.raises(RunError, match="one bool for each"):
        with_verdicts(records(["a", "b", "c"]), FixedScreener(verdicts))


def test_a_row_with_a_null_field_is_a_target() -> None:
    table = records(["a", "b", "c"])
    table = table.set_column(3, "answer", pa.array(["yes", None, "yes"], pa.string()))
    assert with_verdicts(table, FakeScreener()).table[VERDICT].to_pylist() == [False, True, False]


def test_an_operator_without_a_word_is_targeted_by_its_scope() -> None:
    assert [one.is_targeted() for one in (Sees, SeesAll, Commonest)] == [True, False, False]


@pytest.mark.ray
@pytest.mark.parametrize(("part_rows", "actor_pool_min_parts"), [(1, 1), (1, 1000), (3, 1000), (100, 1)])
def test_clean_rows_pass_by_row_operators_whatever_the_parts_and_workers(
    local_ray: None, tmp_path: Path, part_rows: int, actor_pool_min_parts: int
) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=part_rows)
    done = run_recipe(
        dataset,
        [DropShort(), CleanQuestion(), Sees(), SeesAll()],
        resources=SCREENED,
        out=Storage.at(tmp_path / "out"),
        pool=PoolConfig(actor_pool_min_parts=actor_pool_min_parts, max_workers=2, part_rows=1),
    )
    done.verify()
    table = done.read()
    assert table.schema.equals(RECORD_SCHEMA)
    assert table["id"].to_pylist() == ["r0", "r2", "r3", "r4", "r5", "r6"]
    assert table["question"].to_pylist() == ["aa", "bbbb", "cc", "dddd", "abc", "ee"]
    assert done.manifest.counts == {
        "screened:requested": 7,
        "screened:needs_work": 4,
        "dropped:short": 1,
        "cleaned": 3,
        "seen": 3 + 6,
    }
    assert not any(Storage.at(tmp_path / "out").exists(f"stage-{number}") for number in range(2))


@pytest.mark.ray
def test_without_a_screener_every_row_is_seen_and_none_is_screened(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    done = run(tmp_path / "out", dataset, [DropShort(), Sees()], Resources())
    assert done.manifest.counts == {"dropped:short": 2, "seen": 5}


@pytest.mark.ray
def test_verdicts_are_those_of_the_teams_input_and_the_next_team_asks_again(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=2)
    done = run(tmp_path / "a", dataset, [CleanQuestion(), QuoteShots()], SCREENED)
    assert done.manifest.counts == {"screened:requested": 7, "screened:needs_work": 4, "cleaned": 4, "quoted": 4}
    again = run(tmp_path / "b", run(tmp_path / "c", dataset, [CleanQuestion()], SCREENED), [Sees()], SCREENED)
    assert again.manifest.counts == {"screened:requested": 7}


@pytest.mark.ray
def test_what_a_screener_remembered_and_could_not_read_is_counted(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(["aa", "long enough", "??", "aa"]), part_rows=4)
    resources = Resources(screener=RowScreener(judge=WordyProbabilities(), memo=str(tmp_path / "memo.sqlite")))
    first = run(tmp_path / "a", dataset, [Sees()], resources)
    assert first.manifest.counts == {
        "screened:requested": 4,
        "screened:executed": 3,
        "screened:unreadable": 1,
        "screened:needs_work": 3,
        "seen": 3,
    }
    again = run(tmp_path / "b", dataset, [Sees()], resources)
    assert again.manifest.counts == dict(first.manifest.counts) | {"screened:executed": 1}


@pytest.mark.ray
def test_rows_that_a_stage_adds_are_left_alone_by_those_after_it(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(["a!", "a!", "a!", "b"]), part_rows=2)
    done = run(tmp_path / "out", dataset, [Commonest(), CleanQuestion()], SCREENED)
    questions = dict(zip(*done.read(["id", "question"]).to_pydict().values(), strict=True))
    assert questions == {"r0": "a", "r1": "a", "r2": "a", "new": "a!"}
    assert done.manifest.counts == {
        "screened:requested": 4,
        "screened:needs_work": 3,
        "dropped:rare": 1,
        "generated": 1,
        "cleaned": 3,
    }


@pytest.mark.ray
def test_few_shots_come_from_clean_rows_too(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records(["clean one", "clean two", "marked!"]), part_rows=1)
    done = run(tmp_path / "out", dataset, [QuoteShots()], SCREENED)
    plain = run(tmp_path / "plain", dataset, [QuoteShots()], Resources())
    answers = done.read()["answer"].to_pylist()
    assert answers[:2] == ["yes", "yes"]
    assert answers[2] == plain.read()["answer"].to_pylist()[2]
    assert "clean" in answers[2]


@pytest.mark.ray
@pytest.mark.parametrize("part_rows", [1, 100])
def test_selection_scores_only_targets_and_keeps_the_clean_rows(
    local_ray: None, tmp_path: Path, part_rows: int
) -> None:
    table = records([f"clean {number}" for number in range(6)] + [f"marked {number}!" for number in range(4)])
    dataset = stored(tmp_path / "in", table, part_rows=part_rows)
    resources = Resources(screener=FakeScreener(), influence=FakeScorer())
    done = run(tmp_path / "out", dataset, [SelectByGradient(keep_frac=0.5)], resources)
    assert done.manifest.counts == {
        "screened:requested": 10,
        "screened:needs_work": 4,
        "gradients:requested": 4,
        "gradients:executed": 4,
        "dropped:low_influence": 2,
    }
    kept = Counter(question.split()[0] for question in done.read()["question"].to_pylist())
    assert kept == {"clean": 6, "marked": 2}


@pytest.mark.ray
def test_deduplication_sees_clean_and_marked_rows_and_needs_no_verdict(local_ray: None, tmp_path: Path) -> None:
    text = "what is the best way to keep bread fresh for a week in summer"
    dataset = stored(tmp_path / "in", records([text, f"{text}!", "something else"]), part_rows=1)
    done = run(tmp_path / "out", dataset, [Deduplicate()], SCREENED)
    assert done.manifest.counts == {"dropped:near_duplicate": 1}
    assert done.num_rows == 2


def _no_pair(request: object) -> str:
    return "this is no JSON"


@pytest.mark.ray
def test_pairs_are_generated_for_the_size_of_the_whole(local_ray: None, tmp_path: Path) -> None:
    dataset = stored(tmp_path / "in", records([f"clean {number}" for number in range(9)] + ["m!"]), part_rows=4)
    resources = Resources(screener=FakeScreener(), completer=FakeCompleter(_no_pair))
    done = run(tmp_path / "out", dataset, [GeneratePair(target_frac=0.5, max_waves=1), Sees()], resources)
    assert done.manifest.counts["shortfall"] == 5
    assert done.manifest.counts["seen"] == 1


@pytest.mark.ray
def test_a_screener_that_cannot_be_reached_fails_the_team_and_leaves_no_dataset(
    local_ray: None, tmp_path: Path
) -> None:
    dataset = stored(tmp_path / "in", records(QUESTIONS), part_rows=3)
    out = Storage.at(tmp_path / "out")
    with pytest.raises(EndpointError, match=r"screening: http://127\.0\.0\.1:1/screener refused"):
        run_recipe(dataset, [Sees()], resources=Resources(screener=UnreachableScreener()), out=out, pool=PoolConfig())
    assert StoredDataset.open(out) is None
