"""What each team does as it is configured, in the words of its operators. Knows specs, and no data."""

from __future__ import annotations

from collections.abc import Sequence

from operators.contract.operator import Operator
from operators.contract.resources import Language

MAX_TEAM_WORDS = 2_000
"""Characters that the agent is told of one team; operators of other packages may say much."""


def team_words(recipe: Sequence[Operator], language: Language) -> str:
    """One line: the clauses of the recipe's operators, in the order in which they run."""
    clauses = [" ".join(operator.summary(language).split()) for operator in recipe]
    line = ("; ".join(clauses) + ".") if language == "en" else ("；".join(clauses) + "。")
    return "".join(mark for mark in line if mark.isprintable())[:MAX_TEAM_WORDS]
