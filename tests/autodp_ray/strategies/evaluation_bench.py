"""An evaluator of strategies with stand-ins for Ray's part, for the tests of what it makes of scores and failures."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from actors.cache.cache import StrategyCache
from actors.storage.storage import Storage
from autodp_ray.config.run_config import EvaluationConfig
from autodp_ray.config.teams_config import TeamsConfig
from autodp_ray.journal import Journal
from autodp_ray.progress import Silent
from autodp_ray.scoring.answer_scores import AnswerScorer
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator
from tests.autodp_ray.answer_fakes import Answering, ByNumber
from tests.autodp_ray.run_fakes import FakeRecipe, FakeTraining, make_processor, make_scorer, stored, tagged

CONFIG = EvaluationConfig(bootstrap_samples=200, seed=5)


def loss(table: pa.Table, seed: int) -> float:
    """Cleaned rows make a better model, rewritten ones a worse; seeds differ by a little."""
    answers = table["answer"]
    cleaned = pc.any(pc.match_substring(answers, "strip_markup")).as_py()
    rewritten = pc.any(pc.match_substring(answers, "optimize_pair")).as_py()
    return 3.0 - 0.5 * bool(cleaned) + 0.2 * bool(rewritten) + 0.001 * (seed % 7)


class Bench:
    """An evaluator over one sample, and what stands in for Ray."""

    def __init__(
        self,
        root: Storage,
        *,
        num_workers: int = 1,
        teams: TeamsConfig | None = None,
        change: Callable[[pa.Table, str], pa.Table] = tagged,
        seconds: float = 0.0,
        cache: StrategyCache | None = None,
        shares: bool = True,
        evaluator: ByNumber | None = None,
        config: EvaluationConfig = CONFIG,
        loss_of: Callable[[pa.Table, int], float] = loss,
    ) -> None:
        self.root = root
        self.recipe = FakeRecipe(change, seconds=seconds)
        self.training = FakeTraining(loss_of) if evaluator is None else Answering(loss_of)
        self.sample = stored(root.folder("sample"), ["a", "b"])
        self.test = stored(root.folder("test"), ["t1", "t2", "t3"])
        self.num_releases = 0
        journal = Journal(root.folder("run"))
        max_answer_tokens = None if evaluator is None else 32
        scorer = make_scorer(root, self.training, cache=cache, journal=journal, max_answer_tokens=max_answer_tokens)
        self.evaluator = StrategyEvaluator(
            sample=self.sample,
            validation=stored(root.folder("validation"), ["v1", "v2", "v3", "v4"]),
            processor=make_processor(root, self.recipe, teams=teams, cache=cache, journal=journal),
            scorer=scorer if evaluator is None else AnswerScorer(scorer, evaluator, journal=journal),
            config=config,
            progress=Silent(),
            num_workers=num_workers,
            release=self._release,
            shares=shares,
        )

    def _release(self) -> None:
        self.num_releases += 1
