"""Forms whose rows hold a question and an answer in columns of their own; decoded by column.

A member says which pairs of columns it reads. Beside them: what the question refers to, a history, a system prompt.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Set
from typing import ClassVar

from autodp_ray.records.forms.decoding import Decoded
from autodp_ray.records.forms.flat_decoding import decode_flat
from autodp_ray.records.forms.flat_spelling import apply_flat_residue, spell_flat
from autodp_ray.records.forms.found import Found, most_common
from autodp_ray.records.forms.names import CONTEXT_NAMES, HISTORY, SYSTEM_NAMES
from autodp_ray.records.forms.row_spelling import Residue, SpelledRow
from autodp_ray.records.spelling.layout import FormKeys, Layout
from autodp_ray.records.spelling.raw_columns import RawColumns
from autodp_ray.records.spelling.turn_spelling import Content
from autodp_ray.records.turns.turn_counts import TurnCounts
from operators.contract.errors import InputError


class FlatForm(ABC):
    """A question and an answer in two columns."""

    name: ClassVar[str]
    accepted: ClassVar[str]
    takes_columns: ClassVar[bool] = False
    takes_turns: ClassVar[bool] = False
    pairs: ClassVar[tuple[tuple[str, str], ...]]
    """Columns of questions and of answers that it looks for; earlier ones first."""
    writes_pairs: ClassVar[bool] = False
    """Where no row says otherwise, whether a history is spelled as pairs of texts."""

    @abstractmethod
    def pair(self, found: Found) -> tuple[str, str]:
        """The columns of questions and answers. Raises: InputError where that cannot be told."""

    @property
    def own_names(self) -> tuple[str, ...]:
        return tuple(name for pair in self.pairs for name in pair)

    @property
    def nested_names(self) -> tuple[str, ...]:
        return ()

    def num_readings(self, keys: Set[str]) -> int:
        return sum(keys >= set(pair) for pair in self.pairs)

    def support(self, found: Found) -> int | None:
        if found.config.columns.turns is not None:
            return None
        return max((pair_support(pair, found) for pair in self.pairs if found.has(*pair)), default=None)

    def keys(self, found: Found) -> FormKeys:
        return self.keys_of(self.pair(found), found)

    def keys_of(self, pair: tuple[str, str], found: Found) -> FormKeys:
        """What is taken from each row beside its pair. Raises: InputError where the pair is not there."""
        for key in pair:
            if not found.has(key):
                raise InputError(f"form {self.name}: {found.no_column(key)}")
        columns = found.config.columns
        taken = {*pair, columns.id, columns.history, columns.system, columns.context}
        history = columns.history or _history_key(found, taken)
        counts = found.evidence.turn_counts(history) if history is not None else TurnCounts({})
        has_turns = counts.num_pairs + counts.num_objects > 0
        return FormKeys(
            form=self.name,
            question_key=pair[0],
            answer_key=pair[1],
            input_key=columns.context or found.text_key(CONTEXT_NAMES, taken),
            history_key=history,
            system_key=columns.system or found.text_key(SYSTEM_NAMES, taken),
            turn_keys=most_common(counts.keys),
            roles=found.roles(counts, {}),
            history_as_pairs=counts.has_list_pairs if has_turns else self.writes_pairs,
            pair_keys=counts.usual_pair_keys,
            has_turn_keys=counts.has_keys,
        )

    def is_answered(self, found: Found) -> bool:
        pairs = [pair for pair in self.pairs if found.has(*pair)]
        return any(2 * found.evidence.num_filling(*pair) >= found.evidence.num_rows for pair in pairs)

    def chosen_keys(self, found: Found) -> FormKeys | None:
        return None

    def decode(self, raw: RawColumns, layout: Layout) -> Decoded:
        return decode_flat(raw, layout)

    def spell(self, content: Content, input_text: str | None, layout: Layout) -> SpelledRow:
        return spell_flat(content, input_text, layout)

    def apply_residue(self, spelled: SpelledRow, residue: Residue, content: Content, layout: Layout) -> None:
        apply_flat_residue(spelled, residue, content, layout)


def pair_support(pair: tuple[str, str], found: Found) -> int:
    """How much the rows speak for a pair of columns: a row with both counts three, an empty one two."""
    return 2 * found.evidence.num_with(*pair) + found.evidence.num_with_any(*pair)


def _history_key(found: Found, taken: Set[str | None]) -> str | None:
    is_free = found.has(HISTORY) and HISTORY not in taken
    return HISTORY if is_free and found.evidence.is_mostly_turns(HISTORY) else None
