"""What each team does as it is configured, in the words of its operators. Knows specs, and no data."""

from __future__ import annotations

from collections.abc import Sequence

from operators.contract.operator import Operator
from operators.contract.resources import Language

MAX_TEAM_WORDS = 2_000
"""Characters that the agent is told of one team; operators of other packages may say much."""


def team_words(recipe: Sequence[Operator], language: Language, *, description: str | None = None) -> str:
    """One line: the description, or the clauses of the recipe's operators in the order in which they run."""
    if description is not None:
        return _one_line(description)
    clauses = [" ".join(operator.summary(language).split()) for operator in recipe]
    line = ("; ".join(clauses) + ".") if language == "en" else ("；".join(clauses) + "。")
    return _one_line(line)


def _one_line(text: str) -> str:
    return "".join(mark for mark in " ".join(text.split()) if mark.isprintable())[:MAX_TEAM_WORDS]
