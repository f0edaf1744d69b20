"""Where a dataset lies and how its rows are to be read. Knows no splits."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from autodp_ray.records.corruption import CorruptionConfig

FormatName = Literal["jsonl", "json", "parquet", "arrow", "csv"]
FormName = Literal["alpaca", "sharegpt", "chat", "columns"]

DEFAULT_NULLS = ("", "无", "N/A", "null")


class ColumnNames(BaseModel):
    """What the columns of the named-column form are called; `id` may be named for every form."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str | None = None
    """Ids of the rows."""
    question: str | None = None
    """Questions, or instructions."""
    answer: str | None = None
    """Answers."""
    history: str | None = None
    """Earlier turns of the conversation."""
    system: str | None = None
    """System prompts."""

    @property
    def names_a_pair(self) -> bool:
        """Whether the question or the answer is named, which only the named-column form needs."""
        return self.question is not None or self.answer is not None

    @model_validator(mode="after")
    def _no_column_twice(self) -> Self:
        named = [name for name in self.model_dump().values() if name is not None]
        for name in named:
            if named.count(name) > 1:
                raise ValueError(f"the column {name!r} is named for two fields; name each column once")
        return self


class DatasetConfig(BaseModel):
    """One input dataset.

    `path` is a local file, folder or glob, any `pyarrow.fs` URI of these, or `pkg:chatterbot_corpus/english`: the
    opening pair (first two turns) of every conversation in that installed package. The opening pair, because the later
    turns of that corpus are mostly further answers to the first one, so a last pair would join two answers.
    `pkg:chatterbot_corpus/english#replies` reads each of those answers with the opening turn as a row of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    path: str = Field(min_length=1)
    """Where the rows are, as said above."""
    format: Literal["auto"] | FormatName = "auto"
    """Of the files; `auto` goes by what they are called."""
    form: Literal["auto"] | FormName = "auto"
    """How a row holds question and answer; `auto` goes by the first rows."""
    columns: ColumnNames = ColumnNames()
    ids: Literal["auto", "make"] = "auto"
    """`auto` takes the ids of a column that `columns.id` names, or of one called `id` that every row fills; `make`
    makes ids from the rows' content and lets an `id` column travel along as any other."""
    nulls: tuple[str, ...] = DEFAULT_NULLS
    """Texts that stand for a missing question, answer, input or system prompt, compared after stripping."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Of the prompts and the reply guards; `auto` goes by the rows."""
    domain: Literal["general", "medical", "law"] = "general"
    """What the prompts say of the texts, and what to be careful with."""
    corruption: Literal["none"] | CorruptionConfig = "none"
    """Seeded damage with a known truth, done to the train split alone: for trying a search out, not for real use."""
    limit: PositiveInt | None = None
    """Read only so many rows of the input, unparsable ones among them."""

    @field_validator("nulls")
    @classmethod
    def _stripped(cls, nulls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text.strip() for text in nulls))

    @model_validator(mode="after")
    def _columns_fit_the_form(self) -> Self:
        if self.form not in ("auto", "columns") and self.columns.names_a_pair:
            raise ValueError(
                f"columns.question and columns.answer belong to the form 'columns', not to {self.form!r}; "
                "leave them out or set form: columns"
            )
        if self.ids == "make" and self.columns.id is not None:
            raise ValueError(f"ids: make leaves columns.id ({self.columns.id!r}) unused; keep one of the two")
        return self
