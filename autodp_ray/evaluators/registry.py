"""All evaluators: the one discriminated union. Adding one is its own file and one word here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autodp_ray.evaluators.base import Evaluator
from autodp_ray.evaluators.judge import JudgeEvaluator
from autodp_ray.evaluators.loss import LossEvaluator
from autodp_ray.evaluators.reference import ReferenceEvaluator
from operators.contract.family import FROM_WORD, TO_WORD, members_by_name

AnyEvaluator = Annotated[
    LossEvaluator | JudgeEvaluator | ReferenceEvaluator, Field(discriminator="name"), FROM_WORD, TO_WORD
]
"""Any evaluator's spec, told apart by `name`; the word alone stands for its defaults."""

EVALUATORS = members_by_name(AnyEvaluator, Evaluator)
"""Their classes by word."""
