"""What a command that scores strategies works with: the services, and the evaluator that trains and scores on them.

A search, its explanation and a table of scores start it in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial

from actors.cache.cache_actor import open_strategy_cache
from actors.cache.cache_client import StrategyCacheClient
from actors.models.source import resolve_model
from actors.storage.storage import Storage
from actors.training.service import TrainingService
from autodp_ray.cluster.needed import needed_operators
from autodp_ray.cluster.outside_operators import require_operators
from autodp_ray.cluster.ray import Cluster, require_shared
from autodp_ray.cluster.resource_plan import num_workers, require_room
from autodp_ray.config.run_config import Config
from autodp_ray.evaluators.base import EvaluatorResources
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared
from autodp_ray.progress import Progress, show_training
from autodp_ray.runs.services import Services, influence_inputs, require_endpoints, started
from autodp_ray.sampling.row_embedding import open_embedder
from autodp_ray.scoring.answer_scores import AnswerScorer
from autodp_ray.scoring.training_scores import Scorer, Training, TrainingScorer
from autodp_ray.strategies.processing import Processor
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator

ConnectFn = Callable[[], AbstractContextManager[Cluster]]
"""Enters the Ray that a command works on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What scores strategies, and the services that it runs on."""

    evaluator: StrategyEvaluator
    services: Services
    processor: Processor
    """Turns other rows than the search's sample into datasets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationInputs:
    """What is scored, by which config, and where work is kept and noted."""

    config: Config
    prepared: Prepared
    run: Storage
    run_id: str
    cache: Storage
    journal: Journal
    progress: Progress

    def start(self, cluster: Callable[[], Cluster], stack: ExitStack) -> Evaluation:
        """Start the services; what is started stays on the stack.

        `cluster` is asked only once the endpoints of others have answered.

        Raises: InputError for endpoints that do not answer, models that cannot be had, and clusters without room.
        """
        config, teams = self.config, self.config.search.used_teams
        require_endpoints(config, teams)
        entered = cluster()
        for storage in (self.run, self.cache):
            require_shared(storage, entered)
        require_room(config, entered)
        require_operators(needed_operators(config, teams))
        cache = stack.enter_context(open_strategy_cache(self.cache, holder=self.run_id))
        first = Training(dataset=self.prepared.sample, held_out=self.prepared.validation, seed=config.evaluation.seed)
        scorer = self.scorer(cache, stack, first=first)
        services = stack.enter_context(self._services(entered))
        processor = self._processor(services, cache)
        evaluator = self._evaluator(self.training_scorer(services, scorer), processor, cache, entered)
        return Evaluation(evaluator=evaluator, services=services, processor=processor)

    def scorer(self, cache: StrategyCacheClient, stack: ExitStack, *, first: Training) -> Scorer:
        """What trains and scores; its workers start at once, unless the score of the first training is there already.

        Raises: InputError where the tuned model cannot be had.
        """
        config = self.config
        model = resolve_model(config.models.tuned.model)
        trainer = TrainingService(
            config.training,
            storage_path=self.run.uri("training"),
            note=self.progress.note,
            on_advance=partial(show_training, self.progress),
        )
        stack.callback(trainer.close)
        remembers = config.cache.rows
        scorer = Scorer(
            run_id=self.run_id,
            train=lambda job: trainer.run(replace(job, remembers=remembers)),
            model=model,
            recipe=config.training,
            cache=cache,
            journal=self.journal,
            max_answer_tokens=config.evaluation.answer_tokens,
        )
        if not scorer.knows(first):
            trainer.warm_up(model)
        return scorer

    def _services(self, cluster: Cluster) -> AbstractContextManager[Services]:
        config, teams = self.config, self.config.search.used_teams
        return started(
            config,
            cluster=cluster,
            run=self.run,
            cache=self.cache,
            teams=teams,
            language=self.prepared.language,
            progress=self.progress,
            influence=influence_inputs(config, prepared=self.prepared, teams=teams, cache=self.cache),
        )

    def _processor(self, services: Services, cache: StrategyCacheClient) -> Processor:
        return Processor(
            run_id=self.run_id,
            teams=self.config.teams,
            resources=services.resources,
            cache=cache,
            journal=self.journal,
            pool=self.config.pool,
        )

    def _evaluator(
        self, scorer: TrainingScorer, processor: Processor, cache: StrategyCacheClient, cluster: Cluster
    ) -> StrategyEvaluator:
        config, prepared = self.config, self.prepared
        return StrategyEvaluator(
            sample=prepared.sample,
            validation=prepared.validation,
            processor=processor,
            scorer=scorer,
            config=config.evaluation,
            progress=self.progress,
            num_workers=num_workers(config, cluster),
            release=cache.release,
            shares=config.cache.prefixes,
        )

    def training_scorer(self, services: Services, scorer: Scorer) -> TrainingScorer:
        """What scores trainings as the config's evaluator says."""
        config = self.config
        resources: EvaluatorResources[TrainingScorer] = EvaluatorResources(
            by_losses=scorer,
            by_answers=lambda grader: AnswerScorer(scorer, grader, journal=self.journal),
            models=services.evaluator_models,
            embedder=lambda: open_embedder(config.sampling.embedder, self.cache),
            language=self.prepared.language,
            domain=config.dataset.domain,
            seed=config.evaluation.seed,
        )
        return config.evaluation.evaluator.build(resources)
