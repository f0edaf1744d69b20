"""Stand-ins for trainings whose models answer, and for what scores the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from actors.training.job import TrainJob, TrainOutcome, read_rows
from autodp_ray.evaluators.base import AnswerScores
from autodp_ray.statistics import ItemScores
from operators.contract.errors import EndpointError
from tests.autodp_ray.run_fakes import FakeTraining

SECRET = "secret-answer"


class Answering(FakeTraining):
    """Answers every question with the number of rows that it was trained on."""

    def __call__(self, job: TrainJob) -> TrainOutcome:
        outcome = super().__call__(job)
        assert job.max_answer_tokens == 32
        assert job.train is not None
        said = f"{SECRET} {read_rows(job.train).num_rows}"
        return replace(outcome, answers={"held_out": (said,) * len(outcome.evaluation["held_out"].ids)})


class ByNumber:
    """r of an item is the number in the answer, less the rival's where it compares."""

    def __init__(self, *, compares: bool = True, revision: str = "numbers-1") -> None:
        self.compares, self.revision = compares, revision
        self.scored: list[tuple[str, ...]] = []
        self.failing = False

    def score(self, rows: pa.Table, answers: Sequence[str], rivals: Sequence[str]) -> AnswerScores:
        if self.failing:
            raise EndpointError("the judge is down")
        self.scored.append((*answers, *rivals))
        number: Callable[[str], float] = lambda text: float(text.split()[1])  # noqa: E731
        rival = [number(one) for one in rivals] if self.compares else [0.0] * len(answers)
        values = [number(one) - other for one, other in zip(answers, rival, strict=True)]
        counts = {"llm_calls_requested": 2, "llm_calls_executed": 1, "llm_prompt_tokens": 5, "llm_completion_tokens": 1}
        return AnswerScores(items=ItemScores.of_values(rows["id"].to_pylist(), values), counts=counts)
