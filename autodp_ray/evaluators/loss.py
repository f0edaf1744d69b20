"""The evaluator `loss`: how probable the tuned model finds the held-out answers. Source: LLM-AutoDP, Eq. 2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

from autodp_ray.evaluators.base import Evaluator, EvaluatorResources, S
from operators.contract.resources import Language


class LossEvaluator(Evaluator):
    """The score r is minus the mean negative log-likelihood of the tokens of held-out answers."""

    needs_answers: ClassVar[bool] = False
    unit: ClassVar[str] = "nats per answer token"
    note: ClassVar[str] = (
        "The loss evaluator asks how probable the tuned model finds the held-out reference answers. That favours the "
        "style of those references: a rewrite that is better, but worded differently, is undervalued. A strategy with "
        "optimization or generation may be worth more than its score says; an LLM judge can tell."
    )
    meaning: ClassVar[Mapping[Language, str]] = {
        "en": "r is minus the mean loss per token on held-out answers",
        "zh": "r 是预留的参考答案上每个词元平均损失的相反数",
    }

    name: Literal["loss"] = "loss"

    def build(self, resources: EvaluatorResources[S]) -> S:
        return resources.by_losses

    @classmethod
    def in_other_words(cls, score: float) -> str:
        """A difference of losses as one of perplexities, where its percentage is one that anybody can read."""
        if score < -100:
            return ""
        change = 100 * (math.exp(-score) - 1)
        word = "lower" if change < 0 else "higher"
        return f"In other words: its perplexity on the reference answers is {abs(change):.1f} % {word}."
