"""All operators: the one discriminated union, and the default recipes.

Adding an operator is its own file and one word here.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from operators.deduplicate import Deduplicate
from operators.generate_missing import GenerateAnswer, GenerateQuestion
from operators.generate_pair import GeneratePair
from operators.ngram_repetition import NgramRepetition
from operators.optimize import OptimizeAnswer, OptimizePair, OptimizeQuestion
from operators.select_by_gradient import SelectByGradient
from operators.special_char_ratio import SpecialCharRatio
from operators.strip_markup import StripMarkup
from operators.token_count import TokenCount

AnyOperator = Annotated[
    StripMarkup
    | SpecialCharRatio
    | TokenCount
    | NgramRepetition
    | Deduplicate
    | OptimizePair
    | OptimizeQuestion
    | OptimizeAnswer
    | GenerateQuestion
    | GenerateAnswer
    | GeneratePair
    | SelectByGradient,
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

OPTIMIZATION_RECIPE: tuple[AnyOperator, ...] = (OptimizePair(),)
"""What the optimization team runs unless the config says otherwise; the other two rewriters are alternatives."""

GENERATION_RECIPE: tuple[AnyOperator, ...] = (GenerateQuestion(), GenerateAnswer(), GeneratePair())
"""What the generation team runs unless the config says otherwise."""

SELECTION_RECIPE: tuple[AnyOperator, ...] = (SelectByGradient(),)
"""What the selection team runs unless the config says otherwise."""
