"""Rows with copies of every kind among them."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pyarrow as pa

from tests.operators.row_tables import characters, sentence, table_of, words

Row = Mapping[str, object]
SYSTEM = [{"role": "system", "content": "You answer in one sentence.", "extra": None}]


def edited(text: str, rng: random.Random) -> str:
    """The text with one other word."""
    told = text.split()
    told[rng.randrange(len(told))] = words(rng, 1)[0]
    return " ".join(told)


def copies(row: Row, rng: random.Random) -> list[Row]:
    """Copies of a row: exact, spaced, edited, longer, incomplete."""
    answer = str(row["answer"])
    kinds: list[Row] = [
        {},
        {"answer": answer.replace(" ", "\n", 1)},
        {"answer": answer.upper()},
        {"answer": edited(answer, rng)},
        {"answer": f"{answer} That is all."},
        {"answer": None},
        {"question": None},
        {"question": f"{row['question']}?"},
    ]
    return [{**row, **rng.choice(kinds)} for _ in range(rng.choice([0, 1, 2, 8]))]


def chain(rng: random.Random) -> list[Row]:
    """Rows of which only neighbours are alike."""
    told = words(rng, 60)
    steps = range(0, rng.choice([12, 40]), 4)
    return [{"question": "What?", "answer": " ".join([*(f"new{at}" for at in range(k)), *told[k:]])} for k in steps]


def template(rng: random.Random, count: int) -> list[Row]:
    """Rows that share long text."""
    head = " ".join(words(rng, rng.choice([20, 70, 200])))
    kept = rng.choice(["question", "answer"])
    other = {"question": "answer", "answer": "question"}[kept]
    return [{kept: f"{head}\n{' '.join(words(rng, rng.choice([1, 3, 25])))}", other: "Yes"} for _ in range(count)]


def dataset(rng: random.Random) -> pa.Table:
    """Rows of all these kinds in an order of its own, some of them empty, many with a system prompt."""
    rows: list[Row] = [{"question": None, "answer": None}] * 2
    for _ in range(rng.randint(1, 8)):
        text = rng.choice([" ".join(words(rng, 50)), characters(rng, 60), "yes"])
        row: Row = {"question": sentence(rng, 6), "answer": text}
        rows += [row, *copies(row, rng)]
    rows += chain(rng) + template(rng, rng.choice([0, 3, 9]))
    rng.shuffle(rows)
    share = rng.choice([0.0, 0.45, 0.55])
    return table_of([{**row, "history": SYSTEM} if rng.random() < share else row for row in rows])
