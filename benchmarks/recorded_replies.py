"""Replies of a chat model, recorded: a search that was recorded is replayed without the model.

A reply is found by all that was said before it, by the schema that it had to keep to, and by its seed: where a prompt
or a score changes nothing is found, and the search has to be recorded anew.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from autodp_ray.search.agent.agent import ChatModel
from autodp_ray.search.proposal import PromptMessage
from benchmarks.machine import package_versions
from operators.contract.resources import Completion

SAVE_EVERY = 4
COMMAND = "python -m benchmarks run agent_replies"


class NotRecordedError(LookupError):
    """A question that was not asked when the replies were recorded."""


@dataclass(slots=True, kw_only=True)
class Replies:
    """Replies by what they answer."""

    texts: dict[str, str]
    path: Path | None = None
    """Where they are kept."""
    ask: ChatModel | None = None
    """Answers what was not recorded."""
    num_added: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _asking: dict[str, threading.Lock] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *, ask: ChatModel | None = None, keep: bool = False) -> Replies:
        """Those that the file holds; none without a file."""
        lines = pq.read_table(path).to_pylist() if path.exists() else []
        texts = {line["question"]: line["reply"] for line in lines}
        return cls(texts=texts, ask=ask, path=path if keep else None)

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        """The recorded reply.

        Raises: NotRecordedError where there is none, and no model to ask.
        """
        key: Mapping[str, object] = {"messages": [list(one) for one in messages], "schema": json_schema, "seed": seed}
        question = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        with self._lock:
            asking = self._asking.setdefault(question, threading.Lock())
        with asking:  # who asks the same at the same time waits for the reply
            if question not in self.texts:
                if self.ask is None:
                    raise NotRecordedError(f"this search was not recorded: {COMMAND} adds it")
                self.add(question, self.ask.chat(messages, json_schema=json_schema, seed=seed).text)
        return Completion(text=self.texts[question])

    def add(self, question: str, text: str) -> None:
        """Remember a reply."""
        with self._lock:
            self.texts[question] = text
            self.num_added += 1
            if self.num_added % SAVE_EVERY == 0:
                self._write()

    def save(self) -> None:
        """Keep them; the same replies give the same bytes."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        questions = sorted(self.texts)
        made = {"command": COMMAND, "versions": json.dumps(dict(package_versions()))}
        stored = pa.table({"question": questions, "reply": [self.texts[one] for one in questions]})
        new = self.path.with_suffix(".new")
        pq.write_table(stored.replace_schema_metadata(made), new, compression="zstd")
        new.replace(self.path)
