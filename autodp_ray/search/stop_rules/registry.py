"""Every stop rule of this package: those that `search.stop` may name, and those that every search has."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from autodp_ray.search.proposal import StopReason
from autodp_ray.search.stop_rules.base import StopRuleSpec
from autodp_ray.search.stop_rules.budget import BudgetConfig
from autodp_ray.search.stop_rules.max_rounds import MaxRounds
from autodp_ray.search.stop_rules.patience import Patience
from autodp_ray.search.stop_rules.target import Target
from operators.contract.family import FROM_WORD, TO_WORD

StopRules = Patience | Target
AnyStopRule = Annotated[StopRules, Field(discriminator="name"), FROM_WORD, TO_WORD]
"""Any rule's spec that `search.stop` may name, told apart by `name`; the word alone stands for its defaults."""
STOP_RULES: tuple[type[StopRuleSpec], ...] = (MaxRounds, BudgetConfig, *get_args(StopRules))


def rule_endings() -> tuple[StopReason, ...]:
    """Every reason for which a rule ends a search."""
    return tuple(rule.stops for rule in STOP_RULES)
