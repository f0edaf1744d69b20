"""Completions that were received before, by the digest of everything that shapes them.

Knows no endpoint; whoever calls decides what may be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from actors.storage.row_store import RowStore, Table
from operators.contract.digest import json_digest
from operators.contract.resources import Completion, CompletionRequest

_TABLE = Table(
    name="completions",
    columns={"text": "TEXT", "finish_reason": "TEXT", "prompt_tokens": "INTEGER", "completion_tokens": "INTEGER"},
)


def completion_key(request: CompletionRequest, *, revision: str) -> str:
    """sha256 of the prompt, model revision, decoding parameters, seed and schema; a greedy request has no seed."""
    seed = request.seed if request.temperature > 0 else 0
    return json_digest([revision, request.messages, request.max_tokens, request.temperature, seed, request.json_schema])


class CompletionStore:
    """Completions by key in a sqlite file, which processes may share; may be pickled."""

    def __init__(self, path: Path, *, max_bytes: int = 2 * 2**30) -> None:
        self._rows = RowStore(path, table=_TABLE, max_bytes=max_bytes)

    def get(self, keys: Sequence[str]) -> dict[str, Completion]:
        """The remembered completions among these keys; they count as used now."""
        return {
            key: Completion(text=text, finish_reason=reason, prompt_tokens=prompt, completion_tokens=completion)
            for key, (text, reason, prompt, completion) in self._rows.get(keys).items()
        }

    def put(self, completions: Mapping[str, Completion]) -> None:
        """Remembers completions, and forgets the least recently used beyond the bound."""
        self._rows.put(
            {
                key: (item.text, item.finish_reason, item.prompt_tokens, item.completion_tokens)
                for key, item in completions.items()
            }
        )

    def close(self) -> None:
        """Closes the file."""
        self._rows.close()
