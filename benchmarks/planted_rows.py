"""Real question-answer rows with planted ones among them, for the gradient selection benchmark.

Half of the rows are trivia, the domain of the guide rows; three in ten come from other domains; two in ten are trivia
damaged on the surface. The `shuffled` set damages meaning instead: answers change places between questions.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import pyarrow as pa

from autodp_ray.damage import corruption_forms as forms
from benchmarks.text_rows import Pair, corpus_pairs, record_table

TARGET = "trivia"
OTHERS = ("ai", "coding", "conversations", "emotion", "literature", "movies", "psychology", "science", "sports")
NUM_GUIDE = 32
TARGET_FRAC, OTHER_FRAC = 0.5, 0.3
SHUFFLED_FRAC = 0.3
SURFACE_FORMS = (forms.add_markup, forms.loop_text, forms.mojibake)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedRows:
    """Rows to score, the guide rows, and what each scored row is: `target`, `other`, `damaged` or `shuffled`."""

    table: pa.Table
    guide: pa.Table
    kinds: np.ndarray


def planted_rows(rows: int, *, seed: int) -> PlantedRows:
    """At most `rows` rows, fewer where the corpus has no more trivia."""
    rng = Random(seed)
    target, others = corpus_pairs((TARGET,)), corpus_pairs(OTHERS)
    rng.shuffle(target)
    rng.shuffle(others)
    guide, target = target[:NUM_GUIDE], target[NUM_GUIDE:]
    rows = min(rows, int(len(target) / (1 - OTHER_FRAC)), int(len(others) / OTHER_FRAC))
    num_target, num_other = round(rows * TARGET_FRAC), round(rows * OTHER_FRAC)
    num_damaged = rows - num_target - num_other
    damaged = [_damaged(pair, rng, at) for at, pair in enumerate(target[num_target : num_target + num_damaged])]
    pairs = target[:num_target] + others[:num_other] + damaged
    kinds = ["target"] * num_target + ["other"] * num_other + ["damaged"] * num_damaged
    return _shuffled_together(pairs, kinds, guide, rng)


def shuffled_answers(rows: int, *, seed: int) -> PlantedRows:
    """Trivia alone, with the answers of some rows passed on to the next one."""
    rng = Random(seed)
    target = corpus_pairs((TARGET,))
    rng.shuffle(target)
    guide, target = target[:NUM_GUIDE], target[NUM_GUIDE : NUM_GUIDE + rows]
    num = round(len(target) * SHUFFLED_FRAC)
    wrong = [(target[at][0], target[(at + 1) % num][1]) for at in range(num)]
    kinds = ["shuffled"] * num + ["target"] * (len(target) - num)
    return _shuffled_together(wrong + target[num:], kinds, guide, rng)


def _shuffled_together(pairs: list[Pair], kinds: list[str], guide: list[Pair], rng: Random) -> PlantedRows:
    order = list(range(len(pairs)))
    rng.shuffle(order)
    table = record_table([pairs[at] for at in order], prefix="row")
    return PlantedRows(
        table=table, guide=record_table(guide, prefix="guide"), kinds=np.array([kinds[at] for at in order])
    )


def _damaged(pair: Pair, rng: Random, number: int) -> Pair:
    question, answer = pair
    return question, SURFACE_FORMS[number % len(SURFACE_FORMS)](answer, rng)
