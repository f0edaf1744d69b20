"""What a search may spend: seconds, tokens, trainings. Asked before each round; a round that began is finished."""

from __future__ import annotations

from autodp_ray.clock import Clock
from autodp_ray.config import BudgetConfig
from autodp_ray.journal import Journal
from autodp_ray.spending import count_spending


class Budget:
    """Compares what the journal says was spent with the limits."""

    def __init__(self, config: BudgetConfig, *, journal: Journal, clock: Clock) -> None:
        self._config = config
        self._journal = journal
        self._clock = clock

    def is_left(self) -> bool:
        """Whether another round may begin."""
        spent = count_spending(self._journal)
        used = (
            (self._clock.total, self._config.seconds),
            (spent.llm_tokens, self._config.tokens),
            (spent.trainings_executed, self._config.trainings),
        )
        return all(limit is None or amount < limit for amount, limit in used)
