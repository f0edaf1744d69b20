"""No copy of a row is in two splits; held-out rows are complete; the same rows for any order."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from autodp_ray.config.splits_config import HeldOut, SplitsConfig
from autodp_ray.preparation.splits import HELD_OUT
from autodp_ray.records.row_groups import row_groups
from operators.contract.errors import InputError
from operators.rows.record import RECORD_SCHEMA, is_complete
from operators.testing.fakes import FakeScreener
from tests.autodp_ray.preparation.stored_rows import assigned, indexed, split_tables

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _sentence(rng: random.Random, num_words: int) -> str:
    return " ".join("".join(rng.choices(_LETTERS, k=7)) for _ in range(num_words))


def _row(row_id: str, question: str | None, answer: str | None) -> dict[str, object]:
    return {"id": row_id, "history": [], "question": question, "answer": answer, "origin": "source"}


def _rows(num: int, *, seed: int = 0, name: str = "row") -> list[dict[str, object]]:
    rng = random.Random(seed)
    return [_row(f"{name}-{at}", f"{_sentence(rng, 6)}?", f"{_sentence(rng, 14)}.") for at in range(num)]


def _table(rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def _near_copies(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [_row(f"copy of {row['id']}", str(row["question"]).upper(), f"{row['answer']}..") for row in rows]


_CONFIG = SplitsConfig(guide=5, validation=10, test=15, min_train=20)


def _messy() -> pa.Table:
    """60 rows, a near copy of 30 of them, and 20 copies that lack a field."""
    rows = _rows(60)
    holes = [_row(f"no answer {at}", str(rows[at]["question"]).upper(), None) for at in range(10)]
    holes += [_row(f"no question {at}", None, str(rows[at]["answer"])) for at in range(10, 20)]
    return _table(rows + _near_copies(rows[:30]) + holes)


def _ids(table: pa.Table, rows: np.ndarray) -> set[str]:
    return set(table.take(rows)["id"].to_pylist())


def test_sizes_are_as_asked_and_every_row_is_in_one_place() -> None:
    table = _messy()
    splits = assigned(table, _CONFIG)
    assert [len(splits.held_out(name)) for name in HELD_OUT] == [15, 10, 5]
    everywhere = np.concatenate([splits.train, splits.set_aside, *(splits.held_out(name) for name in HELD_OUT)])
    assert sorted(everywhere) == list(range(table.num_rows))


def test_held_out_rows_are_complete_and_of_groups_of_their_own() -> None:
    table = _messy()
    splits = assigned(table, _CONFIG)
    groups = row_groups(table)
    held = np.concatenate([splits.held_out(name) for name in HELD_OUT])
    assert len(set(groups[held])) == len(held) == 30
    assert is_complete(table).to_numpy(zero_copy_only=False)[held].all()


def _marked(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [row | {"question": f"{row['question']} !"} for row in rows]


def test_with_a_screener_held_out_rows_are_clean_and_noisy_ones_stay_for_training() -> None:
    table = _table(_rows(60) + _marked(_rows(40, seed=1, name="noisy")))
    splits = assigned(table, _CONFIG, screener=FakeScreener())
    held = set().union(*(_ids(table, splits.held_out(name)) for name in HELD_OUT))
    assert len(held) == 30
    assert not any(row_id.startswith("noisy") for row_id in held)
    assert sum(row_id.startswith("noisy") for row_id in _ids(table, splits.train)) == 40
    plain = assigned(table, _CONFIG)
    assert any(row_id.startswith("noisy") for name in HELD_OUT for row_id in _ids(table, plain.held_out(name)))


def test_of_a_group_with_clean_and_noisy_copies_a_clean_one_is_held_out() -> None:
    rows = _rows(60)
    table = _table(_marked([row | {"id": f"noisy {row['id']}"} for row in rows]) + rows)
    splits = assigned(table, _CONFIG, screener=FakeScreener())
    held = set().union(*(_ids(table, splits.held_out(name)) for name in HELD_OUT))
    assert len(held) == 30
    assert all(row_id.startswith("row-") for row_id in held)
    assert {f"noisy {row_id}" for row_id in held} <= _ids(table, splits.set_aside)


def test_a_file_of_its_own_gives_clean_rows_alone() -> None:
    given = _table(_marked(_rows(6, seed=2, name="noisy")) + _rows(4, seed=3, name="clean"))
    splits = assigned(_table(_rows(60)), _CONFIG, files={"validation": given}, screener=FakeScreener())
    assert _ids(given, splits.validation) == {f"clean-{at}" for at in range(4)}
    with pytest.raises(InputError, match=r"splits\.test_path holds 1 complete and clean rows of its own.* needs 2 at"):
        assigned(_table(_rows(60)), _CONFIG, files={"test": given.slice(0, 7)}, screener=FakeScreener())


def test_too_few_clean_rows_are_said_to_be_too_few() -> None:
    table = _table(_rows(29) + _marked(_rows(60, seed=1, name="noisy")))
    with pytest.raises(InputError, match="89 rows, 29 of them complete and clean, in 29 groups"):
        assigned(table, _CONFIG, screener=FakeScreener())


@pytest.mark.parametrize("seed", range(5))
def test_no_copy_of_a_held_out_row_is_trained_on(seed: int) -> None:
    table = _messy()
    tables = split_tables(assigned(table, _CONFIG.model_copy(update={"seed": seed})), table)
    originals = {row["id"]: row for row in table.to_pylist() if row["id"].startswith("row-")}
    held = {row_id.removeprefix("copy of ") for name in HELD_OUT for row_id in tables[name]["id"].to_pylist()}
    questions = {str(originals[row_id]["question"]) for row_id in held}
    answers = {originals[row_id]["answer"] for row_id in held}
    for row in tables["train"].to_pylist():
        assert row["id"].removeprefix("copy of ") not in held
        assert str(row["question"]).lower() not in questions
        assert row["answer"] not in answers


@settings(max_examples=10)
@given(st.randoms(use_true_random=False))
def test_row_order_changes_nothing(shuffler: random.Random) -> None:
    table = _messy()
    order = list(range(table.num_rows))
    shuffler.shuffle(order)
    shuffled = table.take(order)
    one, other = assigned(table, _CONFIG), assigned(shuffled, _CONFIG)
    for name in HELD_OUT:
        assert _ids(table, one.held_out(name)) == _ids(shuffled, other.held_out(name))
    assert _ids(table, one.train) == _ids(shuffled, other.train)


def test_another_seed_holds_out_other_rows() -> None:
    table = _messy()
    one, other = (assigned(table, _CONFIG.model_copy(update={"seed": seed})) for seed in (0, 1))
    assert _ids(table, one.test) != _ids(table, other.test)


def test_another_guide_size_leaves_test_and_validation_as_they_are() -> None:
    table = _messy()
    one, other = (assigned(table, _CONFIG.model_copy(update={"guide": guide})) for guide in (5, 0))
    assert one.test.tolist() == other.test.tolist()
    assert one.validation.tolist() == other.validation.tolist()
    assert len(other.guide) == 0


def test_too_few_rows_are_counted_and_the_keys_to_lower_are_named() -> None:
    rows = _rows(30) + [_row(f"hole {at}", _sentence(random.Random(at), 9), None) for at in range(4)]
    with pytest.raises(InputError) as error:
        assigned(_table(rows), _CONFIG)
    message = str(error.value)
    assert "34 rows, 30 of them complete" in message
    assert "15 test + 10 validation + 5 guide rows" in message
    assert "50 in all" in message
    for key in ("splits.test", "splits.validation", "splits.guide", "splits.min_train"):
        assert key in message


def test_copies_do_not_count_as_rows_to_hold_out() -> None:
    rows = _rows(10)
    copies = [
        _row(f"{row['id']} again {at}", str(row["question"]), str(row["answer"])) for row in rows for at in range(9)
    ]
    with pytest.raises(InputError, match="100 rows, 100 of them complete, in 10 groups"):
        assigned(_table(rows + copies), _CONFIG)


def test_exactly_enough_rows_are_enough() -> None:
    assert len(assigned(_table(_rows(50)), _CONFIG).train) == 20
    with pytest.raises(InputError, match=r"19 would be left"):
        assigned(_table(_rows(49)), _CONFIG)


def test_a_split_with_a_file_of_its_own_takes_no_row_of_the_dataset() -> None:
    table, own = _table(_rows(60)), _table(_rows(8, seed=1, name="own"))
    splits = assigned(table, _CONFIG, files={"validation": own})
    tables = split_tables(splits, table, {"validation": own})
    assert sorted(tables["validation"]["id"].to_pylist()) == sorted(own["id"].to_pylist())
    assert len(splits.train) == 60 - 15 - 5


def test_of_a_large_file_no_more_rows_are_used_than_the_config_says() -> None:
    own = _table(_rows(40, seed=1))
    assert len(assigned(_table(_rows(60)), _CONFIG, files={"test": own}).test) == 15


def test_copies_of_a_files_rows_are_set_aside_and_never_in_two_splits() -> None:
    rows = _rows(70)
    table = _table(rows)
    files: dict[HeldOut, pa.Table] = {
        "test": _table(_near_copies(rows[:20])),
        "guide": _table(_near_copies(rows[10:30])),
    }
    splits = assigned(table, _CONFIG, files=files)
    tables = split_tables(splits, table, files)
    names = {
        name: {row_id.removeprefix("copy of ") for row_id in part["id"].to_pylist()} for name, part in tables.items()
    }
    assert sum(map(len, names.values())) == len(set().union(*names.values()))
    assert names["guide"] <= {f"row-{at}" for at in range(20, 30)}
    assert not (names["train"] | names["validation"]) & {f"row-{at}" for at in range(30)}
    assert _ids(table, splits.set_aside) == {f"row-{at}" for at in range(30)}


def test_a_file_without_a_usable_row_is_refused_by_its_key() -> None:
    with pytest.raises(InputError, match=r"splits\.test_path"):
        assigned(_table(_rows(60)), _CONFIG, files={"test": _table([_row("only", "question?", None)])})


@pytest.mark.parametrize(
    "wrong", [{"test": 0}, {"validation": -1}, {"min_train": 0}, {"near_duplicate_threshold": 0}, {"tset": 3}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SplitsConfig.model_validate(wrong)


def test_the_groups_of_train_rows_are_those_that_grouping_them_again_would_find() -> None:
    table = _table(_rows(60) + _near_copies(_rows(60)[:30]))
    splits = assigned(table, _CONFIG.model_copy(update={"test": 5}))
    assert splits.train_groups is not None
    assert splits.train_groups.tolist() == row_groups(table.take(splits.train)).tolist()
    assert len(set(splits.train_groups)) < len(splits.train)


def test_groups_are_not_passed_on_where_a_training_row_was_left_out_of_one() -> None:
    answer = _sentence(random.Random(7), 40)
    copies = [_row("longer answer", None, f"{answer} indeed"), _row("only an answer", None, answer)]
    held = _table([_row("held", _sentence(random.Random(8), 30), answer), *_rows(6, seed=9, name="other")])
    splits = assigned(_table(_rows(60) + copies), _CONFIG, files={"test": held})
    assert _ids(_table(_rows(60) + copies), splits.set_aside) == {"only an answer"}
    assert splits.train_groups is None


@pytest.mark.heavy
@pytest.mark.parametrize("part_rows", [1, 7, 64])
def test_splits_and_groups_do_not_depend_on_the_cut_into_parts(part_rows: int) -> None:
    table = _messy()
    files: dict[HeldOut, pa.Table] = {"test": _table(_near_copies(_rows(60)[:20]))}
    whole, cut = (assigned(table, _CONFIG, files=files, part_rows=rows) for rows in (1000, part_rows))
    for name in ("train", "guide", "validation", "test", "set_aside"):
        assert getattr(whole, name).tolist() == getattr(cut, name).tolist()
    index = indexed([table, files["test"]], part_rows=part_rows)
    assert index.groups.tolist() == row_groups(pa.concat_tables([table, files["test"]])).tolist()
    assert index.ids.to_pylist() == [*table["id"].to_pylist(), *files["test"]["id"].to_pylist()]
