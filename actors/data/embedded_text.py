"""What an encoder is shown of a row: its question and answer first, each within a budget, so that both always fit.

Encoders of sentences see some 256 tokens. System prompts are left out, since rows under one long system prompt would
all have its embedding. Of a long question the beginning and the end are kept: what is asked stands before or after a
passage. Depends on nothing but the row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from operators.rows.content_columns import ContentColumns, content_columns
from operators.rows.conversation import is_answer_place
from operators.texts.text import unspaced_fracs

RULE_VERSION = 2
"""Part of the key of stored embeddings: raised when the texts change."""
QUESTION_WIDTH, ANSWER_WIDTH, CONTENT_WIDTH, HISTORY_WIDTH = 400, 500, 200, 200
"""In letters; a character of a script without spaces counts as four, as it mostly is a token of its own."""
_HEAD = 1 / 3

Turns = Sequence[Mapping[str, str | None]] | None


def row_texts(table: pa.Table, *, content: ContentColumns = "auto") -> list[str]:
    """What is embedded of each row: question, answer, text of content columns, earlier turns; "" for an empty row."""
    history = table["history"].to_pylist()
    questions = table["question"].to_pylist()
    answers = [
        _own_calls(turns) if answer is None else answer
        for turns, answer in zip(history, table["answer"].to_pylist(), strict=True)
    ]
    parts = zip(
        _clipped(questions, QUESTION_WIDTH, head=_HEAD),
        _clipped(answers, ANSWER_WIDTH, head=1.0),
        _clipped(_content_texts(table, questions, content), CONTENT_WIDTH, head=_HEAD),
        _clipped([_earlier(turns) for turns in history], HISTORY_WIDTH, head=0.0),
        strict=True,
    )
    return ["\n".join(part for part in row if part) for row in parts]


def _own_calls(turns: Turns) -> str | None:
    """The tools that an answer without text calls, as JSON."""
    if not turns or not is_answer_place(turns[-1]):
        return None
    calls = json.loads(turns[-1].get("extra") or "{}").get("tool_calls")
    return None if calls is None else json.dumps(calls, ensure_ascii=False)


def _earlier(turns: Turns) -> str:
    return "\n".join(turn["content"] or "" for turn in turns or () if turn["role"] != "system")


def _content_texts(table: pa.Table, questions: Sequence[str | None], chosen: ContentColumns) -> list[str]:
    """The cells of text columns that carry content; without JSON, and without what the question ends with."""
    names = [name for name in content_columns(table.schema, chosen) if _is_text(table.schema.field(name).type)]
    cells = [table[name].to_pylist() for name in names]
    return [
        "\n".join(cell for cell in row if cell and cell[:1] not in ("[", "{") and not (question or "").endswith(cell))
        for question, *row in zip(questions, *cells, strict=True)
    ]


def _is_text(kind: pa.DataType) -> bool:
    found: bool = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return found


def _clipped(texts: Sequence[str | None], width: int, *, head: float) -> list[str]:
    """The texts cut to a width; of longer ones that share of it is their beginning, the rest their end."""
    given = [text or "" for text in texts]
    fracs = unspaced_fracs(pa.array(given, pa.large_string())).tolist()
    return [_clip(text, int(width / (1 + 3 * frac)), head=head) for text, frac in zip(given, fracs, strict=True)]


def _clip(text: str, length: int, *, head: float) -> str:
    if len(text) <= length:
        return text
    first = int(length * head)
    ends = (text[:first].strip(), text[len(text) - (length - first) :].strip())
    return " ... ".join(end for end in ends if end)
