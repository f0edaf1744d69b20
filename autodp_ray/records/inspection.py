"""Looks at a dataset and says what it is, in numbers and names only: no row text leaves this module."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, JsonValue

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.dataset_files import find_all
from autodp_ray.records.files.file_kinds import FormatName
from autodp_ray.records.forms.detection import shown_keys
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.records.layout_scan import scan_layout
from autodp_ray.records.lengths import conversation_tokens
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.records.spelling.layout import Layout

QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
LANGUAGE_CHARS = 400
"""How much of a row's text its language is told from."""
CJK_FRAC = 0.2
"""Chinese says as much in fewer characters, so a fifth of them makes a text Chinese."""

_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LETTER = re.compile(r"[^\W\d_]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


class DatasetProfile(BaseModel):
    """What `inspect_dataset` saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    format: FormatName
    form: str
    num_rows: int
    """Rows that became records."""
    unparsable_rows: Mapping[str, int]
    """Rows set aside, by reason."""
    language_fracs: Mapping[str, float]
    """Share of rows whose text is mostly zh, en (any Latin script) or other."""
    num_missing_questions: int
    num_missing_answers: int
    num_multi_turn: int
    """Rows with turns before their last pair."""
    max_turns: int
    """The most turns of a row, its last pair included."""
    question_chars: tuple[int, ...]
    """Lengths in characters at `QUANTILES`; empty where every question is missing."""
    answer_chars: tuple[int, ...]
    columns: ColumnNames
    """The names that the dataset's config gave."""
    conversation_tokens: tuple[int, ...] = ()
    """Estimated lengths of whole conversations, system prompt and all turns, at every percent from 0 to 100."""
    extra_columns: tuple[str, ...]
    """Keys that are no part of the conversation: they travel along. Of CSV only those that surely are names."""
    id_column: str | None
    settings: Mapping[str, JsonValue] = {}
    """What else the config says of the dataset, where it says so, and the delimiter that was found."""
    left_out: tuple[str, ...] = ()
    """Files of the folder that are not read, in words."""

    @property
    def num_unparsable(self) -> int:
        return sum(self.unparsable_rows.values())

    def frac_longer(self, tokens: int) -> float:
        """The estimated share of conversations of more tokens than that."""
        return sum(length > tokens for length in self.conversation_tokens) / max(1, len(self.conversation_tokens))

    @property
    def language(self) -> Literal["en", "zh"]:
        """The language to work in: Chinese where more rows are Chinese than not."""
        return "zh" if self.language_fracs.get("zh", 0.0) > 0.5 else "en"


def inspect_dataset(path: str | DatasetConfig) -> DatasetProfile:
    """Read a whole dataset once, streaming, and say what it holds.

    Raises: InputError as the reader does.
    """
    config = DatasetConfig(path=path) if isinstance(path, str) else path
    layout = scan_layout(config)
    unparsable = ReasonCounts()
    counts = _Counts()
    for table in read_records(config, on_quarantine=unparsable, layout=layout):
        counts.add(table)
    return DatasetProfile(
        path=config.path,
        format=layout.format,
        form=layout.form,
        num_rows=counts.num_rows,
        unparsable_rows=unparsable.counts,
        language_fracs={name: num / counts.num_rows for name, num in sorted(counts.languages.items())},
        num_missing_questions=counts.missing["question"],
        num_missing_answers=counts.missing["answer"],
        num_multi_turn=counts.num_multi_turn,
        max_turns=counts.max_turns,
        question_chars=counts.quantiles("question"),
        answer_chars=counts.quantiles("answer"),
        columns=config.columns,
        conversation_tokens=counts.conversation_tokens(),
        extra_columns=_shown_extras(layout),
        id_column=layout.id_key,
        settings=_settings(config, layout),
        left_out=tuple(find_all(resolved(config)).left_out),
    )


def _shown_extras(layout: Layout) -> tuple[str, ...]:
    """The extra columns by name, where the name surely is one: the first row of a CSV file may be no header."""
    keys = [extra.key for extra in layout.extras if extra.key != layout.input_key]
    places = {key: place for place, key in enumerate(layout.order, 1)}
    return tuple(key if shown_keys([key], may_be_cells=False) else f"(column {places[key]})" for key in keys)


def _settings(config: DatasetConfig, layout: Layout) -> dict[str, JsonValue]:
    said = config.model_dump(mode="json", exclude_defaults=True, exclude={"path", "format", "form", "columns"})
    return said | ({"delimiter": layout.delimiter} if layout.delimiter != "," else {})


def language_of(text: str) -> str:
    """`zh`, `en` (any Latin script) or `other`, by the characters of a text's beginning."""
    head = text[:LANGUAGE_CHARS]
    letters = len(_LETTER.findall(head))
    if len(_CJK.findall(head)) >= max(1.0, CJK_FRAC * letters):
        return "zh"
    return "en" if 2 * len(_LATIN.findall(head)) >= letters else "other"


class _Counts:
    """Running totals over record tables."""

    def __init__(self) -> None:
        self.num_rows = 0
        self.num_multi_turn = 0
        self.max_turns = 0
        self.languages: Counter[str] = Counter()
        self.missing: Counter[str] = Counter()
        self._lengths: dict[str, list[np.ndarray]] = {"question": [], "answer": []}
        self._tokens: list[np.ndarray] = []

    def add(self, table: pa.Table) -> None:
        self.num_rows += table.num_rows
        for name, lengths in self._lengths.items():
            self.missing[name] += table[name].null_count
            lengths.append(pc.utf8_length(table[name].drop_null()).to_numpy().astype(np.int32))
        self._tokens.append(conversation_tokens(table))
        turns = pc.list_value_length(table["history"]).to_numpy()
        self.num_multi_turn += int((turns > 0).sum())
        present = pc.add(pc.is_valid(table["question"]).cast(pa.int32()), pc.is_valid(table["answer"]).cast(pa.int32()))
        self.max_turns = max(self.max_turns, int((turns + present.to_numpy()).max()))
        pairs = zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True)
        self.languages.update(language_of(f"{question or ''} {answer or ''}") for question, answer in pairs)

    def conversation_tokens(self) -> tuple[int, ...]:
        lengths = np.concatenate(self._tokens) if self._tokens else np.empty(0)
        return tuple(int(value) for value in np.percentile(lengths, range(101))) if len(lengths) else ()

    def quantiles(self, name: str) -> tuple[int, ...]:
        lengths = np.concatenate(self._lengths[name])
        return tuple(int(value) for value in np.quantile(lengths, QUANTILES)) if len(lengths) else ()
