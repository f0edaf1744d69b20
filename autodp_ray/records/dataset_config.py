"""Where a dataset lies and how its rows are to be read. Knows no splits."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, field_validator, model_validator

from autodp_ray.damage.corruption import CorruptionConfig
from autodp_ray.records.files.file_kinds import FormatName
from autodp_ray.records.files.text_encoding import AUTO, is_text_encoding
from autodp_ray.records.forms.all_forms import FORMS, FormName, form_named
from autodp_ray.records.forms.names import ColumnNames
from operators.rows.content_columns import ContentColumns

RoleName = Literal["system", "user", "assistant", "tool", "tool_call"]

DEFAULT_NULLS = ("", "无", "N/A", "null")


class DatasetConfig(BaseModel):
    """One input dataset.

    `path` is a local file, folder or glob, any `pyarrow.fs` URI of these, a dataset of the hub
    (`hf://datasets/ORGANISATION/NAME`, with `@REVISION` and a path or glob in it where wanted; downloaded into the
    hub's cache and read there), or `pkg:chatterbot_corpus/english`: the opening pair (first two turns) of every
    conversation in that installed package. The opening pair, because the later turns of that corpus are mostly further
    answers to the first one, so a last pair would join two answers.
    `pkg:chatterbot_corpus/english#replies` reads each of those answers with the opening turn as a row of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    path: str = Field(min_length=1)
    """Where the rows are; what it may name is said above."""
    format: Literal["auto", FormatName] = "auto"
    """The format of the files; `auto` goes by their names."""
    encoding: str = "auto"
    """The encoding of text files, as Python names it (`gb18030`, `cp1252`, `utf-16`). `auto` is UTF-8, or what a byte
    order mark says; a file that is in neither is refused with a guess. What is written is UTF-8."""
    delimiter: str = "auto"
    """The separator of CSV cells: one character, or `tab`; `auto` takes the comma, tab, semicolon or bar that fits
    the first rows."""
    field: str | None = None
    """The key whose value is the list of rows, in JSON files that are one object; dots lead deeper, as in
    `result.rows`."""
    split: str | None = None
    """Which split is read, such as `train`, of a folder that `save_to_disk` wrote or of a dataset of the hub. In other
    folders it selects the files whose names have this word."""
    name: str | None = None
    """Which of the datasets in the `dataset_info.json` of a LLaMA-Factory data folder is read; its columns and roles
    are taken over."""
    form: FormName = "auto"
    """How a row holds question and answer; `auto` goes by what most rows have in common."""
    columns: ColumnNames = ColumnNames()
    ids: Literal["auto", "make"] = "auto"
    """`auto` takes the ids of a column that `columns.id` names, or of one called `id` that every row fills; `make`
    makes ids from the rows' content and lets an `id` column travel along as any other."""
    content_columns: ContentColumns = "auto"
    """Columns beside the record that carry content: rows are copies only if these are equal too. `auto` takes names
    such as `context`, `tools` or `images`, leaves out names of metadata such as `source`, `url`, `score`, `date` or
    `id`, and of other columns leaves out cells that hold a number, a time, an address or a digest."""
    nulls: tuple[str, ...] = DEFAULT_NULLS
    """Texts that stand for a missing question, answer, input or system prompt, compared after stripping."""
    roles: dict[str, RoleName] = {}
    """The meaning of turn roles that are not recognised by themselves, in any letter case, as in `teacher:
    assistant`. A turn of the role `tool_call` spells a call as JSON text."""
    preference: Literal["refuse", "chosen"] = "refuse"
    """What to do with preference data, whose rows have a `chosen` and a `rejected` answer: `chosen` reads the chosen
    one as the answer and lets the rejected one travel along."""
    language: Literal["auto", "en", "zh"] = "auto"
    """The language of the prompts and of the checks on replies; `auto` goes by the rows."""
    domain: Literal["general", "medical", "law"] = "general"
    """The domain of the texts; prompts name it and add its cautions."""
    corruption: Literal["none"] | CorruptionConfig = "none"
    """Seeded damage with a known truth, done to the train split alone: for trying a search out, not for real use."""
    limit: PositiveInt | None = None
    """Read at most this many rows of the input, unparsable ones included."""

    @field_validator("nulls")
    @classmethod
    def _stripped(cls, nulls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text.strip() for text in nulls))

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, encoding: str) -> str:
        if encoding != AUTO and not is_text_encoding(encoding):
            raise ValueError(f"Python knows no text encoding {encoding!r}; examples are utf-8, gb18030, big5, cp1252")
        return encoding

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, delimiter: str) -> str:
        told = {"tab": "\t", "\\t": "\t"}.get(delimiter, delimiter)
        if told != AUTO and (len(told) != 1 or not told.isascii() or told in '"\r\n'):
            raise ValueError(f"must be one ASCII character, tab or auto, not {delimiter!r}")
        return told

    @field_validator("roles")
    @classmethod
    def _in_lower_case(cls, roles: dict[str, RoleName]) -> dict[str, RoleName]:
        return {spelling.strip().lower(): role for spelling, role in roles.items()}

    @model_validator(mode="after")
    def _columns_fit_the_form(self) -> Self:
        is_auto = self.form == "auto"
        if self.columns.turns is not None and not is_auto and not form_named(self.form).takes_turns:
            owners = " and ".join(repr(form.name) for form in FORMS if form.takes_turns)
            raise ValueError(f"columns.turns belongs to the forms {owners}, not to {self.form!r}; leave it out")
        if self.columns.names_a_pair and not is_auto and not form_named(self.form).takes_columns:
            owners = " and ".join(repr(form.name) for form in FORMS if form.takes_columns)
            raise ValueError(
                f"columns.question and columns.answer belong to the forms {owners}, not to {self.form!r}; "
                "leave them out or name one of those forms"
            )
        if self.ids == "make" and self.columns.id is not None:
            raise ValueError(f"ids: make leaves columns.id ({self.columns.id!r}) unused; keep one of the two")
        return self
