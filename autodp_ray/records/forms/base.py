"""What a form is: how it is told from the rows, how its rows become records, and how records are spelled in it.

Knows no form. Each has a file of its own; the two kinds share conversation.py and flat.py.
"""

from __future__ import annotations

from collections.abc import Set
from typing import ClassVar, Protocol

from autodp_ray.records.forms.decoding import Decoded
from autodp_ray.records.forms.found import Found
from autodp_ray.records.forms.row_spelling import Residue, SpelledRow
from autodp_ray.records.spelling.layout import FormKeys, Layout
from autodp_ray.records.spelling.raw_columns import RawColumns
from autodp_ray.records.spelling.turn_spelling import Content


class Form(Protocol):
    """One form of rows. A new one is a class with these members and a place in all_forms.FORMS."""

    name: ClassVar[str]
    """As `dataset.form` names it."""
    accepted: ClassVar[str]
    """The columns it asks for, as a message names them."""
    takes_columns: ClassVar[bool]
    """Whether the config may name its question and its answer (`dataset.columns`)."""
    takes_turns: ClassVar[bool]
    """Whether the config may name its column of turns."""

    @property
    def own_names(self) -> tuple[str, ...]:
        """The columns that it looks for by itself."""

    @property
    def nested_names(self) -> tuple[str, ...]:
        """Of these, the ones that may hold turns."""

    def num_readings(self, keys: Set[str]) -> int:
        """In how many ways rows with these keys could be of this form."""

    def support(self, found: Found) -> int | None:
        """How much the rows speak for this form: three a row that is of it; None where they lack its columns."""

    def keys(self, found: Found) -> FormKeys:
        """What it takes from each row. Raises: InputError that says which column is lacking."""

    def is_answered(self, found: Found) -> bool:
        """Whether most rows have an answer in this form."""

    def chosen_keys(self, found: Found) -> FormKeys | None:
        """The same as `keys` for preference data, whose chosen answers are read; None where it is not built so."""

    def decode(self, raw: RawColumns, layout: Layout) -> Decoded:
        """The records of raw columns, without their extra columns."""

    def spell(self, content: Content, input_text: str | None, layout: Layout) -> SpelledRow:
        """The default spelling of a record."""

    def apply_residue(self, spelled: SpelledRow, residue: Residue, content: Content, layout: Layout) -> None:
        """Give the row the source's own spelling wherever its record still says what the source said."""
