"""Replies of a chat model, recorded: a search that was recorded is replayed without the model.

A reply is found by who asked, what could be answered and with which seed: a replay goes on working where the words of a
prompt change, and finds nothing where a search takes another way.
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

SAVE_EVERY = 16
COMMAND = "python -m benchmarks run agent_replies"


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

    @classmethod
    def read(cls, path: Path, *, ask: ChatModel | None = None, keep: bool = False) -> Replies:
        """Those that the file holds; none without a file."""
        lines = pq.read_table(path).to_pylist() if path.exists() else []
        texts = {line["question"]: line["reply"] for line in lines}
        return cls(texts=texts, ask=ask, path=path if keep else None)

    def of(self, policy: str) -> ChatModel:
        """The model as one policy meets it."""
        return _RecordedChat(replies=self, policy=policy)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecordedChat:
    """A chat model that says again what it said."""

    replies: Replies
    policy: str

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        """The recorded reply.

        Raises: LookupError where there is none, and no model to ask.
        """
        key: Mapping[str, object] = {"policy": self.policy, "schema": json_schema, "seed": seed}
        question = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        if question not in self.replies.texts:
            if self.replies.ask is None:
                raise LookupError(f"this search was not recorded: {COMMAND} adds it")
            reply = self.replies.ask.chat(messages, json_schema=json_schema, seed=seed)
            self.replies.add(question, reply.text)
        return Completion(text=self.replies.texts[question])
