"""Seeded damage with a known truth, for the train split of the embedded default alone.

Says how many rows are hit, which ones and by what; the textual forms stand in corruption_forms.py. Nothing else in the
code base may know these forms: operators are general. The damage of a row depends on the seed, its id and the other
rows, never on row order. History and extra columns stay as they are.

    markup              tags, entities, scripts, page furniture, links, invisible characters in answer, question or both
    repetition          the answer stuck in a loop
    mojibake            typographic characters decoded with the wrong codec
    exact_copy          an added row with the same content and a new id
    near_copy           an added row with a few signs or one word changed and a new id
    missing_answer      the answer becomes null
    missing_question    the question becomes null
    truncated_answer    the answer ends inside a word
    wrong_answer        the answer of another question
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Literal

import numpy as np
import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field, field_validator

from autodp_ray.damage import corruption_forms as forms
from operators.contract.operator import Seed
from operators.rows.record import has_texts, row_hashes

CorruptionKind = Literal[
    "markup",
    "repetition",
    "mojibake",
    "exact_copy",
    "near_copy",
    "missing_answer",
    "missing_question",
    "truncated_answer",
    "wrong_answer",
]
DEFAULT_WEIGHTS: Mapping[CorruptionKind, float] = MappingProxyType(
    {
        "markup": 4.0,
        "repetition": 4.0,
        "mojibake": 1.0,
        "exact_copy": 1.0,
        "near_copy": 1.0,
        "missing_answer": 1.0,
        "missing_question": 0.5,
        "truncated_answer": 1.0,
        "wrong_answer": 0.5,
    }
)
TRUTH_SCHEMA = pa.schema([pa.field("id", pa.string(), nullable=False), pa.field("kind", pa.string(), nullable=False)])

_COPIES: tuple[CorruptionKind, ...] = ("exact_copy", "near_copy")
_CHOOSY: tuple[CorruptionKind, ...] = ("truncated_answer", "wrong_answer")
"""Kinds that not every row can take: they choose their rows first."""


class CorruptionConfig(BaseModel):
    """How much of the train split is damaged, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rate: float = Field(default=0.5, ge=0.0, le=1.0)
    """The share of the complete rows that are damaged. A row that is copied counts as damaged, and stays clean
    itself."""
    kinds: Mapping[CorruptionKind, float] = Field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    """The relative weight of each kind; a kind that is not named does not occur."""
    seed: Seed = 0
    """Random seed for the choice of rows that are damaged, and how."""

    @field_validator("kinds")
    @classmethod
    def _weights_add_up(cls, kinds: Mapping[CorruptionKind, float]) -> Mapping[CorruptionKind, float]:
        if any(not 0.0 <= weight < float("inf") for weight in kinds.values()) or not sum(kinds.values()) > 0:
            raise ValueError(
                f"weights of kinds must be finite, not negative, and one of them above 0; got {dict(kinds)}"
            )
        return kinds


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptedTable:
    """Damaged rows and what was done: `truth` is one (id, kind) per damaged or added row, in the order of ids."""

    table: pa.Table
    truth: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Question and answer of one complete row."""

    question: str
    answer: str


def corrupt(table: pa.Table, config: CorruptionConfig) -> CorruptedTable:
    """The table with the configured share of its complete rows damaged; copies are appended in the order of ids."""
    ids: list[str] = table["id"].to_pylist()
    questions, answers = table["question"].to_pylist(), table["answer"].to_pylist()
    complete = np.flatnonzero(has_texts(table).to_numpy(zero_copy_only=False))
    pairs = {int(row): _Pair(question=questions[row], answer=answers[row]) for row in complete}
    ranked = _by_hash(list(pairs), ids, seed=config.seed, salt="corrupt/rows")
    hit = ranked[: round(config.rate * len(pairs))]
    swapped = hit if config.kinds.get("wrong_answer") else ()
    donors = _donors(swapped, pairs, ranked=_by_hash(list(pairs), ids, seed=config.seed, salt="corrupt/donors"))
    kinds = _assign_kinds(_by_hash(hit, ids, seed=config.seed, salt="corrupt/kinds"), pairs, donors, config)

    taken, truth = set(ids), []
    copied: list[tuple[str, int, _Pair]] = []
    for row in sorted(kinds, key=lambda row: ids[row]):
        kind = kinds[row]
        rng = Random(int(row_hashes([ids[row]], seed=config.seed, salt=f"corrupt/{kind}")[0]))
        if kind in _COPIES:
            new_id = _new_id(ids[row], config.seed, taken)
            taken.add(new_id)
            copied.append((new_id, row, pairs[row] if kind == "exact_copy" else _near_copy(pairs[row], rng)))
            truth.append((new_id, kind))
            continue
        if kind == "wrong_answer":
            answers[row] = pairs[donors[row]].answer
        else:
            questions[row], answers[row] = _DAMAGE[kind](pairs[row], rng)
        truth.append((ids[row], kind))
    damaged = _with_columns(table, {"question": questions, "answer": answers})
    return CorruptedTable(table=_append_copies(damaged, table, sorted(copied)), truth=_truth_table(truth))


def _by_hash(rows: Sequence[int], ids: Sequence[str], *, seed: int, salt: str) -> list[int]:
    """The rows in the order of their ids' hashes: a shuffle that row order cannot change."""
    hashes = row_hashes([ids[row] for row in rows], seed=seed, salt=salt).tolist()
    return [row for _, _, row in sorted(zip(hashes, (ids[row] for row in rows), rows, strict=True))]


def _donors(hit: Sequence[int], pairs: Mapping[int, _Pair], *, ranked: Sequence[int]) -> dict[int, int]:
    """For each row the next one in the donors' order that differs from it in question and in answer."""
    position = {row: at for at, row in enumerate(ranked)}
    found: dict[int, int] = {}
    for row in hit:
        mine, at = pairs[row], position[row]
        for other in (*ranked[at + 1 :], *ranked[:at]):
            if not _same(mine.question, pairs[other].question) and not _same(mine.answer, pairs[other].answer):
                found[row] = other
                break
    return found


def _same(left: str, right: str) -> bool:
    return left.strip().casefold() == right.strip().casefold()


def _assign_kinds(
    hit: Sequence[int], pairs: Mapping[int, _Pair], donors: Mapping[int, int], config: CorruptionConfig
) -> dict[int, CorruptionKind]:
    """Kind of each hit row: exact quotas by weight; what the choosy kinds cannot place goes to the others."""
    able = {
        "truncated_answer": {row for row in hit if forms.cut_positions(pairs[row].answer)},
        "wrong_answer": set(donors),
    }
    weights = {kind: weight for kind, weight in sorted(config.kinds.items()) if weight > 0}
    assigned: dict[int, CorruptionKind] = {}
    for kind, quota in _quotas(weights, len(hit)).items():
        if kind in _CHOOSY:
            rows = [row for row in hit if row in able[kind] and row not in assigned]
            assigned.update(dict.fromkeys(rows[:quota], kind))
    rest = [row for row in hit if row not in assigned]
    easy = {kind: weight for kind, weight in weights.items() if kind not in _CHOOSY}
    start = 0
    for kind, quota in _quotas(easy, len(rest)).items():
        assigned.update(dict.fromkeys(rest[start : start + quota], kind))
        start += quota
    return assigned


def _quotas(weights: Mapping[CorruptionKind, float], total: int) -> dict[CorruptionKind, int]:
    """`total` shared out by weight, largest remainders first."""
    if not weights:
        return {}
    shares = {kind: total * weight / sum(weights.values()) for kind, weight in weights.items()}
    quotas = {kind: int(share) for kind, share in shares.items()}
    by_remainder = sorted(weights, key=lambda kind: (quotas[kind] - shares[kind], kind))
    for kind in by_remainder[: total - sum(quotas.values())]:
        quotas[kind] += 1
    return quotas


def _marked_up(pair: _Pair, rng: Random) -> tuple[str, str]:
    where = rng.choice(("answer", "answer", "question", "both"))
    question = pair.question if where == "answer" else forms.add_markup(pair.question, rng)
    return question, pair.answer if where == "question" else forms.add_markup(pair.answer, rng)


def _misdecoded(pair: _Pair, rng: Random) -> tuple[str, str]:
    question = forms.mojibake(pair.question, rng) if rng.random() < 0.5 else pair.question
    return question, forms.mojibake(pair.answer, rng)


_DAMAGE: Mapping[CorruptionKind, Callable[[_Pair, Random], tuple[str | None, str | None]]] = MappingProxyType(
    {
        "markup": _marked_up,
        "repetition": lambda pair, rng: (pair.question, forms.loop_text(pair.answer, rng)),
        "mojibake": _misdecoded,
        "missing_answer": lambda pair, _rng: (pair.question, None),
        "missing_question": lambda pair, _rng: (None, pair.answer),
        "truncated_answer": lambda pair, rng: (pair.question, forms.truncate(pair.answer, rng)),
    }
)


def _near_copy(pair: _Pair, rng: Random) -> _Pair:
    question = forms.edit_slightly(pair.question, rng) if rng.random() < 0.5 else pair.question
    return _Pair(question=question, answer=forms.edit_slightly(pair.answer, rng))


def _new_id(source_id: str, seed: int, taken: set[str]) -> str:
    """An id for a copy that says nothing of its source and that no row has."""
    attempt = 0
    while (new_id := xxhash.xxh3_128_hexdigest(f"{seed}\x1fcopy\x1f{attempt}\x1f{source_id}".encode())) in taken:
        attempt += 1
    return new_id


def _with_columns(table: pa.Table, columns: Mapping[str, Sequence[str | None]]) -> pa.Table:
    for name, values in columns.items():
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(values, type=field.type))
    return table


def _append_copies(damaged: pa.Table, source: pa.Table, copied: Sequence[tuple[str, int, _Pair]]) -> pa.Table:
    if not copied:
        return damaged
    texts = {
        "id": [new_id for new_id, _, _ in copied],
        "question": [pair.question for _, _, pair in copied],
        "answer": [pair.answer for _, _, pair in copied],
    }
    copies = _with_columns(source.take([row for _, row, _ in copied]), texts)
    return pa.concat_tables([damaged, copies])


def _truth_table(truth: Sequence[tuple[str, CorruptionKind]]) -> pa.Table:
    rows = [{"id": row_id, "kind": kind} for row_id, kind in sorted(truth)]
    return pa.Table.from_pylist(rows, schema=TRUTH_SCHEMA)
