"""The columns that several forms look for, and those that a config names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from pydantic import BaseModel, ConfigDict, model_validator

SYSTEM_NAMES = ("system", "system_prompt", "system_message", "system_instruction", "sys_prompt", "sys")
CONTEXT_NAMES = ("input", "context")
HISTORY = "history"
CHOSEN, REJECTED = "chosen", "rejected"
"""The answers of preference data."""


class ColumnNames(BaseModel):
    """What the columns are called where a form does not know them by their names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str | None = None
    """The column with the ids of the rows."""
    turns: str | None = None
    """The column with whole conversations, which are lists of turns."""
    question: str | None = None
    """The column with questions or instructions, or with the turns that an answer follows."""
    answer: str | None = None
    """The column with the answers."""
    history: str | None = None
    """The column with earlier turns of the conversation."""
    system: str | None = None
    """The column with the system prompts."""
    context: str | None = None
    """The column with what a question refers to, as Alpaca's `input`. It is joined to the question on a line of its
    own, and written apart again."""

    @property
    def names_a_pair(self) -> bool:
        """Whether the question or the answer is named, which only some forms need."""
        return self.question is not None or self.answer is not None

    @model_validator(mode="after")
    def _no_column_twice(self) -> Self:
        named = [name for name in self.model_dump().values() if name is not None]
        for name in named:
            if named.count(name) > 1:
                raise ValueError(f"the column {name!r} is named for two fields; name each column once")
        if self.turns is not None and self.names_a_pair:
            raise ValueError("turns holds whole conversations, so question and answer are left out beside it")
        return self


class FormSettings(Protocol):
    """What of a dataset's settings its form depends on."""

    @property
    def form(self) -> str:
        """`auto` or the name of a form."""

    @property
    def columns(self) -> ColumnNames:
        """Columns by name."""

    @property
    def roles(self) -> Mapping[str, str]:
        """The record's role by spellings that are not known by themselves."""

    @property
    def preference(self) -> str:
        """Whether preference data is refused, or its chosen answers read."""
