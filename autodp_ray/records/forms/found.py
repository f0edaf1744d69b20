"""What there is to tell a form from, and what a message may say of it. Knows no form."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from autodp_ray.records.forms.evidence import FormEvidence
from autodp_ray.records.forms.names import FormSettings
from autodp_ray.records.turns.turn_counts import TurnCounts
from autodp_ray.records.turns.turns import CALL, role_of

_KEY = re.compile(r"(?=.{1,32}$)[^\W\d][\w.-]*(?: [\w.-]+){0,2}")
_MAX_SHOWN = 20
DEFAULT_TURN_KEYS = ("role", "content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The evidence of a dataset's rows, its settings, and what it is called."""

    evidence: FormEvidence
    config: FormSettings
    where: str
    known_cells: frozenset[str] | None
    """Where the keys may be cells, of a header line that is missing: the names that a message may show."""

    def has(self, *keys: str) -> bool:
        """Whether all the columns are there."""
        return all(key in self.evidence.order for key in keys)

    def listed(self) -> str:
        """The keys, as far as they are names and no content."""
        shown = shown_names(self.evidence.order, known_cells=self.known_cells)
        num_others = len(self.evidence.order) - len(shown)
        others = [f"{num_others} more" if shown else f"{num_others} that are not shown"] if num_others else []
        may_be_cells = self.known_cells is not None
        hint = " (does the file begin with a line of column names?)" if others and may_be_cells else ""
        return (", ".join([*map(as_written, shown), *others]) or "none") + hint

    def no_column(self, name: str) -> str:
        """Says that a column is not there, and which one may have been meant."""
        near = difflib.get_close_matches(name, self.evidence.order, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near and _KEY.fullmatch(near[0]) else ""
        if near and near[0].strip() == name.strip():
            hint = (
                f"; it is {near[0]!r}: YAML keeps the space in double quotes, as in 'dataset.columns.KEY=\"{near[0]}\"'"
            )
        return f"there is no column {name!r} in {self.where}: its columns are {self.listed()}{hint}"

    def text_key(self, names: Iterable[str], taken: Set[str | None]) -> str | None:
        """The first of the names that a column of texts has, but for those that are taken."""
        free = (key for key in names if self.has(key) and key not in taken and self.evidence.is_mostly_text(key))
        return next(free, None)

    def roles(self, counts: TurnCounts, default: Mapping[str, str]) -> dict[str, str]:
        """The spelling of each role that most turns have; a call's spelling is no role's."""
        spelled: dict[str, str] = {}
        for spelling, _ in counts.roles.most_common():
            role = role_of(spelling, self.config.roles)
            if role in ("system", "user", "assistant", "tool") and role != CALL:
                spelled.setdefault(role, spelling)
        return {**default, **spelled}


def shown_names(keys: Iterable[str], *, known_cells: Set[str] | None) -> list[str]:
    """The first keys that may stand in a message: they look like names, or are known ones where they may be cells."""
    names = (key for key in keys if (_KEY.fullmatch(key.strip()) if known_cells is None else key in known_cells))
    return list(names)[:_MAX_SHOWN]


def as_written(key: str) -> str:
    """A key for a message, in quotes where a space stands around it."""
    return key if key == key.strip() else repr(key)


def most_common(counts: Counter[tuple[str, str]], default: tuple[str, str] = DEFAULT_TURN_KEYS) -> tuple[str, str]:
    """The keys that most turns have for role and content."""
    return counts.most_common(1)[0][0] if counts else default
