"""The final models of a comparison: winners on the whole train split, trained on, and held against each other.

A training is done once, whoever asks for it first: equal winners share their models, and answers are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from actors.cache.cache_actor import open_strategy_cache
from actors.data.stored_dataset import StoredDataset
from actors.models.source import resolve_model
from autodp_ray.cluster.needed import needed_roles
from autodp_ray.cluster.ray import Cluster
from autodp_ray.comparing.comparison import Duel, Repeat, SearchRecord
from autodp_ray.comparing.duels import Bout, Figures, figures_over_repeats
from autodp_ray.comparing.options import ComparisonPlan, FinalJudge
from autodp_ray.config.run_config import Config
from autodp_ray.runs.evaluation import EvaluationInputs
from autodp_ray.runs.services import require_endpoints, require_rows_allowed, started
from autodp_ray.runs.test_reads import note_test_read
from autodp_ray.sampling.row_embedding import open_embedder
from autodp_ray.scoring.training_scores import Scorer, Training, TrainingScorer
from autodp_ray.search.policies.random import RandomSearch
from autodp_ray.strategy import NO_PROCESSING
from operators.contract.errors import RunError

FINAL_SEED_OFFSET = 2000
"""Final models take seeds that no search and no confirmation uses."""


def require_finals(plan: ComparisonPlan, cluster: Callable[[], Cluster]) -> None:
    """What final models and their judges need is there: said before the searches, which take their time.

    `cluster` is asked only once the endpoints of others have answered.

    Raises: InputError for models that cannot be had, endpoints that do not answer, and hosts that may not see rows.
    """
    for model in plan.models:
        resolve_model(model)
    judging = [judging_config(judge.config) for judge in plan.judges]
    for config in judging:
        require_endpoints(config, ())
        if config.evaluation.evaluator.needs_embedder:
            open_embedder(config.sampling.embedder, None)
    for config in judging:
        require_rows_allowed(config, needed_roles(config, ()), cluster())


@dataclass(frozen=True, slots=True, kw_only=True)
class Winners:
    """What the searches chose, and the train split processed by each of their choices and by none."""

    searches: Sequence[SearchRecord]
    datasets: Mapping[str, StoredDataset]

    def by_seed(self, arm: str) -> dict[int, str]:
        """The choices of an arm's searches; those of no processing for its word."""
        if arm == NO_PROCESSING:
            return dict.fromkeys((each.seed for each in self.searches), NO_PROCESSING)
        return {each.seed: each.winner for each in self.searches if each.arm == arm}

    @property
    def arms(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.arm for each in self.searches))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """The duels of one judge and one tuned model."""

    duels: tuple[Duel, ...]
    gains: tuple[Duel, ...]
    self_check: Duel


@dataclass(frozen=True, slots=True, kw_only=True)
class Finals:
    """Trains and compares final models."""

    plan: ComparisonPlan
    winners: Winners
    inputs: EvaluationInputs
    cluster: Cluster

    def verdicts(self) -> Iterator[Verdicts]:
        """For each model and each judge.

        Raises: InputError for models that cannot be had; RunError where a training failed; EndpointError where a judge
        cannot be reached.
        """
        for model in self.plan.models:
            self._note_test_reads(model)
            with ExitStack() as stack:
                scorer = self._trained(model, stack)
                for judge in self.plan.judges:
                    with ExitStack() as judging:
                        yield self._judged(model, judge, self._scorer(judge, scorer, judging))

    @property
    def _seeds(self) -> tuple[int, ...]:
        first = self.plan.config.evaluation.seed + FINAL_SEED_OFFSET
        return tuple(range(first, first + self.plan.final_seeds))

    @property
    def _other_seeds(self) -> tuple[int, ...]:
        """Of the models of no processing that stand against it."""
        return tuple(seed + self.plan.final_seeds for seed in self._seeds)

    def _note_test_reads(self, model: str) -> None:
        """What is found of each winner on the test rows counts among the claims that were tried on them."""
        recipe = final_config(self.plan.config, model).training.fingerprint()
        judges = [judge.label for judge in self.plan.judges]
        for strategy in self.winners.datasets.keys() - {NO_PROCESSING}:
            claim = [self.inputs.prepared.train.content_hash, strategy, model, recipe, judges, self._seeds]
            note_test_read(self.inputs.cache, self.inputs.prepared.test, claim=claim)

    def _training(self, strategy: str, seed: int) -> Training:
        return Training(dataset=self.winners.datasets[strategy], held_out=self.inputs.prepared.test, seed=seed)

    def _trained(self, model: str, stack: ExitStack) -> Scorer:
        """The scorer of a model's trainings, all of them done."""
        trainings = [(strategy, seed) for strategy in self.winners.datasets for seed in self._seeds]
        trainings += [(NO_PROCESSING, seed) for seed in self._other_seeds]
        progress = self.inputs.progress
        progress.note(f"final models of {model}: {len(trainings)} trainings")
        progress.expect(len(trainings))
        answering = [judge.config for judge in self.plan.judges if judge.config.evaluation.evaluator.needs_answers]
        config = final_config((answering or [self.plan.config])[0], model)
        cache = stack.enter_context(open_strategy_cache(self.inputs.cache, holder=self.inputs.run_id))
        scorer = replace(self.inputs, config=config).scorer(cache, stack, first=self._training(*trainings[0]))
        for strategy, seed in trainings:
            progress.phase(f"training {model}")
            try:
                scorer.score(self._training(strategy, seed))
            except RunError as error:
                raise RunError(f"{model} on the train split processed by {strategy}, seed {seed}: {error}") from error
            progress.step()
        return scorer

    def _scorer(self, judge: FinalJudge, scorer: Scorer, stack: ExitStack) -> TrainingScorer:
        """What scores trainings in the eyes of a judge, whose model is started where it has one."""
        inputs = replace(self.inputs, config=judging_config(judge.config))
        services = started(
            inputs.config,
            cluster=self.cluster,
            run=inputs.run,
            cache=inputs.cache,
            teams=(),
            language=inputs.prepared.language,
            progress=inputs.progress,
        )
        lent = stack.enter_context(services)
        inputs.progress.phase(f"judging by {judge.label}")
        return inputs.training_scorer(lent, scorer)

    def _judged(self, model: str, judge: FinalJudge, scorer: TrainingScorer) -> Verdicts:
        ring = _Ring(finals=self, model=model, judge=judge.label, scorer=scorer)
        ours = self.plan.ours.label
        others = [arm.label for arm in self.plan.arms if arm.label != ours]
        return Verdicts(
            duels=tuple(ring.duel(ours, theirs) for theirs in (NO_PROCESSING, *others)),
            gains=tuple(ring.duel(arm, NO_PROCESSING) for arm in self.winners.arms),
            self_check=ring.self_check(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ring:
    """Where the models of one tuned model meet, before one judge."""

    finals: Finals
    model: str
    judge: str
    scorer: TrainingScorer

    def duel(self, ours: str, theirs: str) -> Duel:
        """Two arms: each repeat's winners, over all seeds of the final models."""
        mine, others = (self.finals.winners.by_seed(arm) for arm in (ours, theirs))
        seeds = self.finals._seeds
        bouts = {
            repeat: [self._bout(strategy, others[repeat], seed, seed) for seed in seeds]
            for repeat, strategy in mine.items()
        }
        repeats = tuple(
            self._repeat(repeat, mine[repeat], others[repeat], self._figures(each)) for repeat, each in bouts.items()
        )
        return self._told(ours, theirs, self._figures(*bouts.values()), repeats)

    def self_check(self) -> Duel:
        """No processing against no processing with other seeds."""
        seeds = zip(self.finals._other_seeds, self.finals._seeds, strict=True)
        found = self._figures([self._bout(NO_PROCESSING, NO_PROCESSING, mine, others) for mine, others in seeds])
        return self._told(NO_PROCESSING, NO_PROCESSING, found, ())

    def _bout(self, ours: str, theirs: str, our_seed: int, their_seed: int) -> Bout:
        """Two models; one that is compared with itself scores what zero is to the judge."""
        mine, others = self.finals._training(ours, our_seed), self.finals._training(theirs, their_seed)
        scored = self.scorer.score(mine, others)
        return Bout(
            ours=scored.items,
            theirs=self.scorer.score(others, others).items,
            counts=scored.counts,
        )

    def _figures(self, *repeats: Sequence[Bout]) -> Figures:
        settings = self.finals.plan.config.evaluation
        return figures_over_repeats(repeats, seed=settings.seed, num_resamples=settings.bootstrap_samples)

    def _repeat(self, seed: int, ours: str, theirs: str, found: Figures) -> Repeat:
        return Repeat(
            seed=seed,
            ours=ours,
            theirs=theirs,
            wins=found.wins,
            ties=found.ties,
            losses=found.losses,
            difference=found.interval.estimate,
        )

    def _told(self, ours: str, theirs: str, found: Figures, repeats: tuple[Repeat, ...]) -> Duel:
        return Duel(
            ours=ours,
            theirs=theirs,
            judge=self.judge,
            model=self.model,
            num_items=found.num_items,
            wins=found.wins,
            ties=found.ties,
            losses=found.losses,
            difference=found.interval.estimate,
            ci95=found.interval.ci95,
            sign_test_p=found.sign_test_p,
            position_bias=found.position_bias,
            abstained_frac=found.abstained_frac,
            repeats=repeats,
        )


def final_config(config: Config, model: str) -> Config:
    """The config with a final model, by the recipe `tune`, else by that of the search, whose budget is kept: where
    every strategy gets the same number of steps, a smaller dataset does not lose for that alone."""
    tuned = config.models.tuned.model_copy(update={"model": model})
    models = config.models.model_copy(update={"tuned": tuned})
    return config.model_copy(update={"models": models, "training": config.tune or config.training})


def judging_config(config: Config) -> Config:
    """The config with a policy that asks no model: only the judge is started."""
    search = config.search.model_copy(update={"policy": RandomSearch()})
    return config.model_copy(update={"search": search})
