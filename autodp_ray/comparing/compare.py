"""A whole comparison: prepare once, search with every policy, apply the winners, train final models, compare them.

It lies in a folder like a run's, with a journal of its own: killed, the same command goes on, and ends the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import PurePosixPath

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.clock import RunClock
from autodp_ray.cluster.ray import Cluster, connected, require_lasting, storage_locations
from autodp_ray.comparing.comparison import Comparison, SearchRecord
from autodp_ray.comparing.finals import Finals, Verdicts, Winners, require_finals
from autodp_ray.comparing.options import CompareOptions, ComparisonPlan, command_of, comparison_plan, stage_config
from autodp_ray.comparing.searches import Searcher
from autodp_ray.comparing.written import read_comparison, write_comparison
from autodp_ray.config.run_config import load_config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, prepare
from autodp_ray.progress import Progress
from autodp_ray.reporting.words import counted
from autodp_ray.run_contents import PROCESSED
from autodp_ray.runs.evaluation import ConnectFn, Evaluation, EvaluationInputs
from autodp_ray.runs.folder import RunFolder
from autodp_ray.runs.provenance import git_commit, versions
from autodp_ray.runs.services import require_endpoints
from autodp_ray.sampling.search_sample import RowModels
from autodp_ray.search.loop import Baseline
from autodp_ray.strategy import NO_PROCESSING, Strategy
from operators.contract.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenComparison:
    """A comparison that may start or go on: what it does, and where."""

    plan: ComparisonPlan
    options: CompareOptions
    folder: RunFolder
    cache: Storage


def open_comparison(options: CompareOptions) -> OpenComparison:
    """The comparison that the options mean; nothing is written yet.

    Raises: InputError for a config or an option that is wrong.
    """
    config = load_config(options.config_path, options.overrides)
    plan = comparison_plan(config, options)
    _require_train_rows(config.dataset.path)
    if options.output is not None:
        require_lasting(options.output, what="the output folder")
    runs, shared = storage_locations(config.storage)
    name = f"compare-{PurePosixPath(options.config_path).stem}"
    location = runs.folder(name) if options.output is None else Storage.at(options.output)
    return OpenComparison(plan=plan, options=options, folder=RunFolder(location), cache=shared)


def _require_train_rows(dataset: str) -> None:
    """Raises: InputError for what `autodp apply --all` made: held-out rows of its run are in it."""
    run, found, _ = dataset.partition(f"/{PROCESSED}")
    folder = RunFolder(Storage.at(run)) if found else None
    result = folder.result() if folder is not None and folder.is_started else None
    if result is None or result.rows.out is None:
        return
    rows = result.rows
    if result.rows.out - (rows.generated or 0) + sum(rows.dropped.values()) != rows.train:
        raise InputError(
            f"{dataset} was made with autodp apply --all, so it holds rows that {run} scored its strategies on: "
            f"compare on the dataset of that run, or make it again with autodp apply {run}"
        )


def run_comparison(opened: OpenComparison, *, progress: Progress, connect: ConnectFn = connected) -> Comparison:
    """Compare, or go on with it; a comparison that is finished is given back.

    Raises: InputError for what is wrong with config, data, models or folder; RunError or EndpointError where a
    training or a model failed.
    """
    folder, options = opened.folder, opened.options
    with folder.locked():
        if options.fresh:
            folder.clear()
        folder.open(
            opened.plan.config,
            config_path=options.config_path,
            overrides=options.overrides,
            strategies=None,
            cache=opened.cache,
            comparison=options.asked(),
        )
        if (finished := read_comparison(folder.storage)) is not None:
            progress.note(f"{folder.storage.location} holds this comparison, finished; --fresh starts it over")
            return finished
        journal = Journal(folder.storage)
        done = _Comparing(opened=opened, connect=connect, progress=progress, journal=journal).carry_out()
        write_comparison(folder.storage, done)
    return done


@dataclass(slots=True, kw_only=True)
class _Comparing:
    """One comparison under way, and what it has found so far."""

    opened: OpenComparison
    connect: ConnectFn
    progress: Progress
    journal: Journal
    clock: RunClock = field(default_factory=RunClock)
    searches: list[SearchRecord] = field(default_factory=list)
    datasets: dict[str, StoredDataset] = field(default_factory=dict)

    def carry_out(self) -> Comparison:
        plan = self.opened.plan
        with ExitStack() as stack:
            entered = cache(lambda: stack.enter_context(self.connect()))
            prepared = self._prepared(entered)
            self._require_models(entered)
            inputs = EvaluationInputs(
                config=plan.config,
                prepared=prepared,
                run=self.opened.folder.storage,
                run_id=self.opened.folder.run_id,
                cache=self.opened.cache,
                journal=self.journal,
                progress=self.progress,
            )
            self.datasets[NO_PROCESSING] = prepared.train
            baselines = [self._stage(agent, inputs, entered) for agent in self._agents()]
            with self.clock.phase("final models"):
                winners = Winners(searches=self.searches, datasets=self.datasets)
                finals = Finals(plan=plan, winners=winners, inputs=inputs, cluster=entered())
                verdicts = list(finals.verdicts())
        return self._comparison(prepared, baselines[0], verdicts)

    def _prepared(self, entered: Callable[[], Cluster]) -> Prepared:
        with self.clock.phase("prepare"):
            return prepare(
                self.opened.plan.config,
                run=self.opened.folder.storage,
                journal=self.journal,
                progress=self.progress,
                models=RowModels.of(self.opened.plan.config, self.opened.cache, connect=entered),
            )

    def _require_models(self, entered: Callable[[], Cluster]) -> None:
        """Those of later searches and of the final models too, before the first search."""
        for agent in self._agents():
            config = stage_config(self.opened.plan, agent)
            require_endpoints(config, config.search.used_teams)
        require_finals(self.opened.plan, entered)

    def _agents(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(arm.agent for arm in (*self.opened.plan.arms, *self.opened.plan.swept)))

    def _stage(self, agent: str, inputs: EvaluationInputs, entered: Callable[[], Cluster]) -> Baseline:
        """All searches of the arms with this agent, and their winners applied, on one start of the services."""
        plan = self.opened.plan
        with ExitStack() as stack, self.clock.phase("search"):
            evaluation = replace(inputs, config=stage_config(plan, agent)).start(entered, stack)
            baseline = evaluation.evaluator.baseline()
            searcher = Searcher(
                evaluation=evaluation,
                baseline=baseline,
                journal=self.journal,
                language=inputs.prepared.language,
                trainings=plan.trainings,
            )
            for arm in (*plan.arms, *plan.swept):
                if arm.agent == agent:
                    self.searches += [self._told(searcher.search(arm, seed)) for seed in plan.seeds]
            self._apply(evaluation, inputs.prepared)
        return baseline

    def _told(self, record: SearchRecord) -> SearchRecord:
        score = "" if record.winner_score is None else f" ({record.winner_score:+.4f} on validation)"
        self.progress.note(
            f"{record.arm}, seed {record.seed}: {record.winner}{score} "
            f"after {counted(record.num_scored, 'strategy', 'strategies')} "
            f"in {counted(record.rounds, 'round', 'rounds')}"
        )
        return record

    def _apply(self, evaluation: Evaluation, prepared: Prepared) -> None:
        """Every winner so far on the whole train split."""
        for name in dict.fromkeys(record.winner for record in self.searches):
            if name not in self.datasets:
                self.progress.phase("processing the train split", strategy=name)
                strategy = Strategy.from_text(name)
                self.datasets[name] = evaluation.processor.process(prepared.train, strategy).dataset
                self.progress.finished(name)

    def _comparison(self, prepared: Prepared, baseline: Baseline, verdicts: list[Verdicts]) -> Comparison:
        plan, options = self.opened.plan, self.opened.options
        return Comparison(
            command=command_of(options),
            dataset=plan.config.dataset.path,
            versions=versions(),
            git_commit=git_commit(),
            evaluator=plan.config.evaluation.evaluator.name,
            trainings=plan.trainings,
            final_seeds=plan.final_seeds,
            baseline_score=baseline.score,
            noise_floor=baseline.noise_floor,
            ours=plan.ours.label,
            rows={
                "train": prepared.train.num_rows,
                "sample": prepared.sample.num_rows,
                "validation": prepared.validation.num_rows,
                "test": prepared.test.num_rows,
            },
            searches=tuple(self.searches),
            duels=tuple(duel for each in verdicts for duel in each.duels),
            gains=tuple(duel for each in verdicts for duel in each.gains),
            self_checks=tuple(each.self_check for each in verdicts),
            seconds={"total": self.clock.total, **self.clock.phases},
        )
