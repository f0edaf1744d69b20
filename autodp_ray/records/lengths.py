"""How long conversations are in tokens, without a tokenizer: by characters, and by how many bytes these take."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TOKENS_PER_CHAR = 0.25
TOKENS_PER_FURTHER_BYTE = 0.875
"""Of a character that UTF-8 writes in several bytes. Of the bundled model's tokenizer, which knows little but English:
0.23 tokens a character of English and 1.92 of Chinese measured."""
TOKENS_PER_TURN = 8
"""What a chat template puts around a turn."""
TOKENS_PER_ROW = 24
"""And around a conversation: the template's own system prompt."""


def conversation_tokens(table: pa.Table) -> np.ndarray:
    """The estimated tokens `[N]` of each record's conversation: its turns with all they hold, question and answer."""
    tokens = np.full(table.num_rows, float(TOKENS_PER_ROW + 2 * TOKENS_PER_TURN))
    for name in ("question", "answer"):
        tokens += _text_tokens(table[name].combine_chunks())
    history = table["history"].combine_chunks()
    turns = history.flatten()
    in_turns = np.full(len(turns), float(TOKENS_PER_TURN))
    for field in turns.type:
        if field.name != "role":
            in_turns += _text_tokens(turns.field(field.name))
    lengths = pc.fill_null(pc.list_value_length(history), 0).to_numpy(zero_copy_only=False)
    before = np.concatenate([[0.0], np.cumsum(in_turns)])
    ends = np.cumsum(lengths)
    found: np.ndarray = tokens + before[ends] - before[ends - lengths]
    return found


def _text_tokens(texts: pa.Array) -> np.ndarray:
    """The estimated tokens of each text; none of a missing one."""
    chars = pc.fill_null(pc.utf8_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.float64)
    size = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.float64)
    estimated: np.ndarray = TOKENS_PER_CHAR * chars + TOKENS_PER_FURTHER_BYTE * (size - chars)
    return estimated
