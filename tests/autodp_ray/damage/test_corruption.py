"""The corruption hits what it says, says what it hit, and depends on ids and seed alone."""

from __future__ import annotations

import random
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from autodp_ray.damage import corruption_forms as forms
from autodp_ray.damage.corruption import DEFAULT_WEIGHTS, CorruptedTable, CorruptionConfig, CorruptionKind, corrupt
from operators.rows.record import RECORD_SCHEMA

_WORDS = [
    "water",
    "river",
    "stone",
    "because",
    "people",
    "often",
    "travel",
    "around",
    "small",
    "gardens",
    "while",
    "others",
    "quietly",
    "read",
    "books",
]


def _table(num_rows: int, *, missing: int = 0) -> pa.Table:
    rng = random.Random(7)
    rows = [
        {
            "id": f"row-{at}",
            "history": [{"role": "user", "content": f"hello {at}"}] if at % 5 == 0 else [],
            "question": f"What about {' '.join(rng.sample(_WORDS, 4))} number {at}?",
            "answer": f"It's {' '.join(rng.sample(_WORDS, 8))}. Then number {at} follows, so it goes on.",
            "origin": "source",
        }
        for at in range(num_rows)
    ]
    rows += [{"id": f"hole-{at}", "question": f"Where is {at}?", "origin": "source"} for at in range(missing)]
    table = pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)
    return table.append_column("topic", pa.array([f"topic {at % 3}" for at in range(table.num_rows)]))


def _only(kind: CorruptionKind, rate: float = 1.0, seed: int = 0) -> CorruptionConfig:
    return CorruptionConfig(rate=rate, kinds={kind: 1.0}, seed=seed)


def _by_id(table: pa.Table) -> dict[str, dict[str, object]]:
    return {row["id"]: row for row in table.to_pylist()}


def _kinds(corrupted: CorruptedTable) -> dict[str, str]:
    return dict(zip(corrupted.truth["id"].to_pylist(), corrupted.truth["kind"].to_pylist(), strict=True))


def test_the_truth_names_exactly_the_rows_that_changed() -> None:
    table = _table(200, missing=20)
    corrupted = corrupt(table, CorruptionConfig())
    before, after = _by_id(table), _by_id(corrupted.table)
    changed = {row_id for row_id, row in after.items() if before.get(row_id) != row}
    assert changed == set(_kinds(corrupted))
    assert set(before) <= set(after)


def test_the_rate_is_the_share_of_complete_rows_that_is_hit() -> None:
    for rate in (0.0, 0.1, 0.5, 1.0):
        assert corrupt(_table(200, missing=20), CorruptionConfig(rate=rate)).truth.num_rows == round(rate * 200)


def test_kinds_come_in_the_proportion_of_their_weights() -> None:
    config = CorruptionConfig(
        rate=0.6, kinds={"markup": 3.0, "missing_answer": 1.0, "exact_copy": 2.0, "mojibake": 0.0}
    )
    found = list(_kinds(corrupt(_table(100), config)).values())
    assert {kind: found.count(kind) for kind in set(found)} == {"markup": 30, "exact_copy": 20, "missing_answer": 10}


def test_every_default_kind_occurs() -> None:
    assert set(_kinds(corrupt(_table(200), CorruptionConfig())).values()) == set(DEFAULT_WEIGHTS)


@settings(max_examples=15)
@given(st.randoms(use_true_random=False), st.integers(0, 3))
def test_row_order_changes_nothing(shuffler: random.Random, seed: int) -> None:
    table = _table(60, missing=5)
    order = list(range(table.num_rows))
    shuffler.shuffle(order)
    one, other = (corrupt(part, CorruptionConfig(seed=seed)) for part in (table, table.take(order)))
    assert _by_id(one.table) == _by_id(other.table)
    assert one.truth.equals(other.truth)


def test_another_seed_hits_other_rows() -> None:
    one, other = (corrupt(_table(100), CorruptionConfig(seed=seed)) for seed in (0, 1))
    assert set(_kinds(one)) != set(_kinds(other))


def test_exact_copies_are_added_rows_with_new_ids_and_the_same_content() -> None:
    table = _table(50)
    corrupted = corrupt(table, _only("exact_copy", rate=0.4))
    assert corrupted.table.num_rows == 70
    assert len(set(corrupted.table["id"].to_pylist())) == 70
    assert corrupted.table.slice(0, 50).equals(table)
    content = [
        tuple(map(str, (row["history"], row["question"], row["answer"], row["topic"]))) for row in table.to_pylist()
    ]
    for row in corrupted.table.slice(50).to_pylist():
        assert tuple(map(str, (row["history"], row["question"], row["answer"], row["topic"]))) in content


def test_copies_keep_clear_of_ids_that_are_taken() -> None:
    first = corrupt(_table(10), _only("exact_copy"))
    taken = first.table["id"].to_pylist()[10:]
    table = pa.concat_tables([_table(10), _table(10).set_column(0, RECORD_SCHEMA.field("id"), pa.array(taken))])
    ids = corrupt(table, _only("exact_copy")).table["id"].to_pylist()
    assert len(set(ids)) == len(ids) == 40


def test_near_copies_differ_from_their_source_by_little() -> None:
    table = _table(40)
    corrupted = corrupt(table, _only("near_copy"))
    letters = {re.sub(r"\W", "", row["answer"]).lower() for row in table.to_pylist()}
    for row in corrupted.table.slice(40).to_pylist():
        assert row["answer"] not in table["answer"].to_pylist()
        assert re.sub(r"\W", "", row["answer"]).lower() in letters


def test_an_answer_of_another_question_is_one_of_the_dataset_and_not_its_own() -> None:
    table = _table(40)
    before, after = _by_id(table), _by_id(corrupt(table, _only("wrong_answer")).table)
    answers = {row["answer"] for row in before.values()}
    assert all(after[row_id]["answer"] in answers - {before[row_id]["answer"]} for row_id in before)


def test_rows_that_a_kind_cannot_hit_go_to_the_others_or_stay_clean() -> None:
    table = _table(10).set_column(3, RECORD_SCHEMA.field("answer"), pa.array(["No."] * 10))
    assert corrupt(table, _only("truncated_answer")).truth.num_rows == 0
    assert corrupt(table, _only("wrong_answer")).truth.num_rows == 0
    mixed = CorruptionConfig(rate=1.0, kinds={"truncated_answer": 1.0, "mojibake": 1.0})
    assert set(_kinds(corrupt(table, mixed)).values()) == {"mojibake"}
    assert corrupt(table, mixed).truth.num_rows == 10


def test_missing_fields_become_null_and_the_other_field_stays() -> None:
    table = _table(10)
    for kind, gone, kept in (("missing_answer", "answer", "question"), ("missing_question", "question", "answer")):
        hit = corrupt(table, CorruptionConfig.model_validate({"rate": 1.0, "kinds": {kind: 1}})).table
        assert hit[gone].null_count == 10
        assert hit[kept].equals(table[kept])


def test_truncated_answers_end_inside_a_word() -> None:
    before = _by_id(_table(40))
    for row_id, row in _by_id(corrupt(_table(40), _only("truncated_answer")).table).items():
        whole, cut = str(before[row_id]["answer"]), str(row["answer"])
        assert whole.startswith(cut)
        assert cut[-1].isalnum()
        assert whole[len(cut)].isalnum()


def test_loops_repeat_words_of_the_answer_alone() -> None:
    before = _by_id(_table(40))
    for row_id, row in _by_id(corrupt(_table(40), _only("repetition")).table).items():
        words = str(row["answer"]).split()
        own = str(before[row_id]["answer"])
        assert len(words) - len(set(words)) > 5
        assert all(word in own for word in words[:-1])


def test_mojibake_is_undone_by_reading_the_bytes_rightly() -> None:
    damaged = corrupt(_table(60), _only("mojibake")).table["answer"].to_pylist()
    assert all(re.search("[Ââà-ÿ]", answer) for answer in damaged)
    assert forms.mojibake("a – b", random.Random(3)) != "a – b"
    assert "“".encode().decode("cp1252") in "".join(damaged)


def test_markup_has_many_forms() -> None:
    texts = [
        text
        for part in corrupt(_table(200), _only("markup")).table.select(["question", "answer"])
        for text in part.to_pylist()
    ]
    for sign in (
        "<div class=",
        "<br",
        "&nbsp;",
        "<li>",
        "<script>",
        "href=",
        "cookies",
        "Share this",
        "@",
        "\u200b",
        "<!--",
    ):
        assert any(sign in text for text in texts), sign


def test_an_empty_table_stays_empty() -> None:
    corrupted = corrupt(_table(0), CorruptionConfig())
    assert corrupted.table.num_rows == corrupted.truth.num_rows == 0
    assert corrupted.table.schema.equals(_table(0).schema)


@pytest.mark.parametrize(
    "wrong", [{"rate": 1.1}, {"kinds": {}}, {"kinds": {"markup": -1}}, {"kinds": {"rot13": 1}}, {"rat": 0.1}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CorruptionConfig.model_validate(wrong)


@given(st.text(min_size=1, max_size=80).filter(lambda text: bool(text.strip())), st.integers(0, 2**64 - 1))
def test_every_form_changes_any_text(text: str, seed: int) -> None:
    for form in (forms.add_markup, forms.loop_text, forms.mojibake, forms.edit_slightly):
        assert form(text, random.Random(seed)) != text
        assert form(text, random.Random(seed)) == form(text, random.Random(seed))
