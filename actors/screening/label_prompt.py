"""What the causal LM backbone is asked about a row, and the two texts of which it answers with one. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from operators.contract.digest import json_digest
from operators.contract.resources import Language
from operators.llm.prompting import Prompt, pair_json, recent_turns
from operators.llm.row_completion import iter_rows
from operators.rows.record import RECORD_SCHEMA

PROMPT = "screen_verdict"
LABELS: Mapping[str, tuple[str, str]] = {"en": ("clean", "needs work"), "zh": ("合格", "需要处理")}
"""Label texts by language: of a clean row, and of one that needs work."""
MAX_HISTORY_CHARS = 2000


_EXAMPLES = pa.Table.from_pylist(
    [
        {"id": "", "history": history, "question": "Q", "answer": "A", "origin": "source"}
        for history in ([], [{"role": "user", "content": "U"}, {"role": "assistant", "content": "V"}])
    ],
    schema=RECORD_SCHEMA,
)
"""Rows without and with turns before them: between them they show every part of the prompt."""


def labelled_records(table: pa.Table, labels: Sequence[str], *, language: Language, domain: str) -> pa.Table:
    """Records that ask about each row and are answered by its label text: what the trainer takes."""
    prompt = Prompt(name=PROMPT, language=language, domain=domain)
    asked = []
    for row, label in zip(iter_rows(table), labels, strict=True):
        history = recent_turns(row.history, max_chars=MAX_HISTORY_CHARS)
        pair = pair_json(row.question or "", row.answer or "")
        messages = prompt.messages({"pair": pair, "history": history})
        question = "\n".join(content for _, content in messages)
        asked.append({"id": row.id, "history": [], "question": question, "answer": label, "origin": "source"})
    return pa.Table.from_pylist(asked, schema=RECORD_SCHEMA)


def label_prompt_digest(*, language: Language, domain: str) -> str:
    """sha256 of what rows look like to the model, shown on two of them, and of its two answers."""
    shown = labelled_records(_EXAMPLES, LABELS[language], language=language, domain=domain)
    body = [shown["question"].to_pylist(), LABELS[language], MAX_HISTORY_CHARS]
    return json_digest(body)
