"""What a search may spend: seconds, tokens, trainings. Asked before each round; a round that began is finished.

All attempts at a run count together, so that a run that was killed and resumed spends no more than an unbroken one.
"""

from __future__ import annotations

from autodp_ray.clock import Clock
from autodp_ray.config.run_config import BudgetConfig
from autodp_ray.journal import Journal
from autodp_ray.search.agent.journaled import PROPOSAL
from autodp_ray.strategies.spending import count_spending, earlier_seconds


class Budget:
    """Compares what the journal says was spent with the limits."""

    def __init__(self, config: BudgetConfig, *, journal: Journal, clock: Clock) -> None:
        self._config = config
        self._journal = journal
        self._clock = clock

    def is_left(self, number: int) -> bool:
        """Whether the round of that number may begin, or began in an earlier attempt."""
        if self._journal.find(PROPOSAL, str(number)) is not None:
            return True
        spent = count_spending(self._journal)
        used = (
            (earlier_seconds(self._journal) + self._clock.total, self._config.seconds),
            (spent.llm_tokens, self._config.tokens),
            (spent.trainings_executed, self._config.trainings),
        )
        return all(limit is None or amount < limit for amount, limit in used)
