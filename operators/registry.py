"""All operators: the one discriminated union, and the default cleaning recipe.

Adding an operator is its own file and one word here.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from operators.deduplicate import Deduplicate
from operators.ngram_repetition import NgramRepetition
from operators.special_char_ratio import SpecialCharRatio
from operators.strip_markup import StripMarkup
from operators.token_count import TokenCount

AnyOperator = Annotated[
    StripMarkup | SpecialCharRatio | TokenCount | NgramRepetition | Deduplicate,
    Field(discriminator="name"),
]
"""Any operator's spec, told apart by `name`."""

CLEANING_RECIPE: tuple[AnyOperator, ...] = (
    StripMarkup(),
    SpecialCharRatio(),
    TokenCount(),
    NgramRepetition(),
    Deduplicate(),
)
"""What the cleaning team runs unless the config says otherwise."""
