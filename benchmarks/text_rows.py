"""Rows of real text, seeded and of any number: the conversations of the package chatterbot-corpus.

The corpus has under a thousand pairs, so more rows are composed of it: a question, and an answer of several answers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pyarrow as pa
import yaml

from operators.rows.record import RECORD_SCHEMA

Pair = tuple[str, str]

DOMAINS = (
    *("ai", "botprofile", "coding", "computers", "conversations", "emotion", "food", "gossip", "greetings", "health"),
    *("history", "humor", "literature", "money", "movies", "politics", "psychology", "science", "sports"),
    *("tech_support", "trivia"),
)
CHINESE_DOMAINS = tuple(name for name in DOMAINS if name not in ("coding", "computers", "health", "tech_support"))
"""Those that the corpus has in Chinese."""
SENTENCES = (2, 6)
"""Fewest and most answers that one composed answer holds."""


def composed_rows(rows: int, *, seed: int = 0) -> pa.Table:
    """Distinct, clean, complete records: what near-duplicates there are come of chance alone."""
    rng = Random(seed)
    pairs = corpus_pairs(DOMAINS)
    answers = [answer for _, answer in pairs]
    return record_table([(rng.choice(pairs)[0], _composed(answers, rng)) for _ in range(rows)], prefix="row")


def record_table(pairs: Sequence[Pair], *, prefix: str) -> pa.Table:
    """The pairs as records whose ids are the prefix and a number."""
    questions, answers = zip(*pairs, strict=True)
    count = len(pairs)
    columns = {
        "id": [f"{prefix}-{at:07d}" for at in range(count)],
        "history": [[]] * count,
        "question": questions,
        "answer": answers,
        "origin": ["source"] * count,
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in RECORD_SCHEMA], schema=RECORD_SCHEMA)


def corpus_pairs(domains: Sequence[str], *, language: str = "english") -> list[Pair]:
    """The first pair of each conversation, each question once."""
    found: dict[str, Pair] = {}
    for domain in domains:
        for turns in yaml.safe_load(_file(domain, language).read_text(encoding="utf-8"))["conversations"]:
            if len(turns) > 1 and all(isinstance(turn, str) and turn.strip() for turn in turns[:2]):
                found.setdefault(turns[0].casefold(), (turns[0], turns[1]))
    return list(found.values())


def _composed(answers: Sequence[str], rng: Random) -> str:
    return " ".join(rng.sample(answers, rng.randint(*SENTENCES)))


def _file(domain: str, language: str) -> Path:
    spec = importlib.util.find_spec("chatterbot_corpus")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "this benchmark reads the package chatterbot-corpus; install it: pip install chatterbot-corpus"
        )
    return Path(spec.origin).parent / "data" / language / f"{domain}.yml"
