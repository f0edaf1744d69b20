"""Generated datasets: rows of one template differ where their own part does, and nothing depends on order or cuts."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from operators.likeness.row_likeness import group_rows
from operators.likeness.row_sketches import merge_rows, sketch_rows
from tests.operators.row_tables import characters, num_groups, table_of, words

Row = Mapping[str, object]
Write = Callable[[random.Random, int], str]


def _words(rng: random.Random, count: int) -> str:
    return " ".join(words(rng, count))


def _characters(rng: random.Random, count: int) -> str:
    return characters(rng, 2 * count)


def _template(rng: random.Random, write: Write) -> Callable[[str], Row]:
    """Makes rows that share all but what is given: a part of the question, answer or context."""
    head, tail = write(rng, rng.randint(5, 120)), write(rng, rng.randint(1, 60))
    joint = rng.choice(["\n", "\n\n", " ", "。", ": "])
    place = rng.choice(["question", "question", "answer", "context"])
    question, answer = write(rng, rng.randint(3, 12)), write(rng, rng.choice([1, 3, 40]))
    system = [{"role": "system", "content": write(rng, 90), "extra": None}] if rng.random() < 0.5 else []

    def row(own: str) -> Row:
        texts = {"question": question, "answer": answer, "context": None, place: joint.join((head, own, tail))}
        return {"history": system, **texts}

    return row


def _variants(rng: random.Random, write: Write) -> list[str]:
    """Different texts, of one length or of many, few or many of them."""
    lengths = rng.choice([(1, 1), (2, 4), (1, 12), (10, 30)])
    made = [write(rng, rng.randint(*lengths)) for _ in range(rng.choice([2, 6, 12, 25, 50]))]
    return list({"".join(text.split()): text for text in made}.values())


def _again(text: str, rng: random.Random) -> str:
    """The same text in other spacing, case or punctuation."""
    return rng.choice([text, text.upper(), text.replace(" ", "  "), f"{text}.", f"  {text}\n"])


def _copy(row: Row, rng: random.Random) -> Row:
    return {**row, "question": _again(str(row["question"]), rng), "answer": _again(str(row["answer"]), rng)}


@pytest.mark.heavy
def test_rows_of_a_template_differ_where_their_own_part_does(cases: Sequence[random.Random]) -> None:
    for rng in cases:
        write = rng.choice([_words, _characters])
        row, variants = _template(rng, write), _variants(rng, write)
        rows = [row(own) for own in variants]
        extra = {"context": pa.string()}
        assert num_groups(table_of([*rows, *(_copy(one, rng) for one in rows)], extra=extra)) <= len(rows)
        if _may_be_told_apart(rows, variants):
            assert num_groups(table_of(rows, extra=extra)) == len(rows), rows[:2]


def _may_be_told_apart(rows: Sequence[Row], variants: Sequence[str]) -> bool:
    """Long answers to one question that differ by some words are told from edited copies only where many are alike."""
    same_question = len({str(row["question"]) for row in rows}) == 1
    same_answer = len({str(row["answer"]) for row in rows}) == 1
    return not same_question or same_answer or (len(variants) > 6 and max(map(len, variants)) < 9)


def test_groups_depend_on_no_order_and_no_cut(cases: Sequence[random.Random]) -> None:
    for rng in cases[::5]:
        rows: list[Row] = []
        for _ in range(rng.randint(1, 2)):
            write = rng.choice([_words, _characters])
            row = _template(rng, write)
            made = [row(own) for own in _variants(rng, write)[:12]]
            rows += made + [_copy(one, rng) for one in made[:4]]
        table = table_of(rows, extra={"context": pa.string()})
        order = rng.sample(range(len(rows)), len(rows))
        cuts = [0, *sorted(rng.choices(range(len(rows) + 1), k=3)), len(rows)]
        moved = table.take(order)
        parts = [moved.slice(low, high - low) for low, high in pairwise(cuts)]
        cut = group_rows(merge_rows([sketch_rows(part) for part in parts]))
        whole = group_rows(sketch_rows(table))[order]
        assert _first_places(cut).tolist() == _first_places(whole).tolist()


def _first_places(labels: np.ndarray) -> np.ndarray:
    """The first place of each place's label, whatever the labels are called."""
    _, first, group = np.unique(labels, return_index=True, return_inverse=True)
    places: np.ndarray = first[group]
    return places
