"""What a run would do, before it does anything: the trie of team runs, trainings, tokens, time, resources.

Reads, splits and samples the dataset, since cache keys are made of content; starts no Ray and serves no model. Rows
that the sample's method wants embedded are embedded here, once, and remembered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.tree import Tree

from actors.cache.store import StrategyStore
from actors.cache.upkeep import origins, outcomes
from actors.data.stored_dataset import StoredDataset
from actors.gradients.influence import find_influence
from actors.llm.spec import asked_revision
from actors.storage.scratch import scratch_folder
from actors.storage.storage import Storage
from autodp_ray.cluster.opened_screener import in_process_screener
from autodp_ray.cluster.ray import storage_locations
from autodp_ray.cluster.resource_plan import ResourcePlan, resource_plan
from autodp_ray.config.run_config import Config
from autodp_ray.journal import Journal
from autodp_ray.keys import dataset_key
from autodp_ray.preparation.preparation import Prepared, prepare
from autodp_ray.progress import Silent
from autodp_ray.runs.services import influence_inputs, lent_embedder, lent_tokenizer
from autodp_ray.sampling.search_sample import RowModels
from autodp_ray.scoring.training_scores import TrainingRecord
from autodp_ray.strategy import NONE, RoundTrie, Strategy, round_trie, strategy_space
from operators.contract.errors import InputError
from operators.contract.operator import Operator
from operators.contract.resources import Completion, CompletionRequest, Resources

_PROMPT_TOKENS = 250
"""Instructions of one operator prompt, roughly."""


class PlanNode(BaseModel):
    """One team run: a prefix of some strategy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str
    cached: bool


class Plan(BaseModel):
    """What a run or a list of strategies would take. Estimates are null where nothing earlier tells them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategies: tuple[str, ...]
    team_runs_requested: int
    team_runs_executed: int
    """After sharing, from an empty cache."""
    team_runs_cached: int
    """Of these, already in the cache."""
    nodes: tuple[PlanNode, ...]
    strategies_tried_at_most: int
    """Fewer than planned where the search is to choose among them."""
    trainings_at_most: int
    rows: dict[str, int]
    """`set_aside` are near-duplicates of held-out rows, which stay out of training."""
    llm_calls_at_most: int
    llm_tokens_estimate: int
    seconds_estimate: float | None
    resources: ResourcePlan

    def text(self) -> str:
        """For people: the trie and the sums."""
        root = Tree("none (the sample as it is)")
        branches = {str(NONE): root}
        for node in self.nodes:
            parent = Strategy.from_text(node.strategy).parent
            label = f"{node.strategy}{' (cached)' if node.cached else ''}"
            branches[node.strategy] = branches[str(parent)].add(label)
        console = Console(width=100, no_color=True, highlight=False)
        with console.capture() as capture:
            console.print(root)
        seconds = (
            "unknown until a run in this storage has measured it"
            if self.seconds_estimate is None
            else f"{self.seconds_estimate:.0f} s"
        )
        rows = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in self.rows.items())
        held = self.resources
        tried, planned = self.strategies_tried_at_most, len(self.strategies)
        choice = (
            f"the search tries at most {tried} of these {planned} strategies; team runs and model calls are of all\n"
        )
        return (
            f"{capture.get()}"
            f"{choice if tried < planned else ''}"
            f"team runs: {self.team_runs_requested} requested, {self.team_runs_executed} after sharing, "
            f"{self.team_runs_cached} of them cached\n"
            f"trainings: at most {self.trainings_at_most}\n"
            f"rows: {rows}\n"
            f"model calls: at most {self.llm_calls_at_most:,}, about {self.llm_tokens_estimate:,} tokens\n"
            f"time: {seconds}\n"
            f"resources: chat models {held.llm_cpus:g} CPU, {held.llm_gpus:g} GPU; "
            f"training {held.training_cpus:g} CPU, {held.training_gpus:g} GPU; "
            f"screener {held.screener_cpus:g} CPU, {held.screener_gpus:g} GPU; "
            f"one operator worker {held.operator_cpus:g} CPU, {held.operator_gpus:g} GPU"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlannedCompleter:
    """A completer that is not started: all that a key needs is its revision."""

    revision: str

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        raise AssertionError("a plan asks no model")


def make_plan(config: Config, *, strategies: str | None = None, all_strategies: bool = False) -> Plan:
    """The plan of a run, of a given list of strategies, or of all of them.

    Without a list, the rounds are the policy's to choose: the plan then covers all that it may propose, and the number
    of trainings is what the rounds allow.

    Raises: InputError for a config, dataset or strategy that is wrong.
    """
    if strategies is not None and all_strategies:
        raise InputError("give --strategies or --all, not both")
    config = config.scoring(_whole_space(config) if all_strategies else strategies)
    search = config.search
    chosen = search.policy.candidates(search.teams)
    trie = round_trie(chosen)
    wanted = min(len(dict.fromkeys(chosen)), search.most_strategies)
    with scratch_folder() as folder:
        run = Storage.at(folder)
        models = RowModels.of(config, storage_locations(config.storage)[1])
        prepared = prepare(config, run=run, journal=Journal(run), progress=Silent(), models=models)
        nodes = _nodes(config, prepared, trie)
        calls, tokens = _model_calls(config, prepared.sample, trie)
        judgements = _judgements(config, prepared, wanted)
    raced = min(config.search.race_leaders, wanted)
    trainings = config.evaluation.baseline_seeds + wanted + raced + config.evaluation.confirmation.most_trainings
    return Plan(
        strategies=tuple(str(strategy) for strategy in chosen),
        team_runs_requested=trie.team_runs_requested,
        team_runs_executed=trie.team_runs_executed,
        team_runs_cached=sum(node.cached for node in nodes),
        nodes=nodes,
        strategies_tried_at_most=wanted,
        trainings_at_most=trainings,
        rows={
            "in": prepared.num_in,
            "quarantined": prepared.num_quarantined,
            "train": prepared.train.num_rows,
            "sample": prepared.sample.num_rows,
            "guide": prepared.guide.num_rows,
            "validation": prepared.validation.num_rows,
            "test": prepared.test.num_rows,
            "set_aside": prepared.num_set_aside,
        },
        llm_calls_at_most=calls + judgements,
        llm_tokens_estimate=tokens + judgements * (_PROMPT_TOKENS + 2 * config.evaluation.max_answer_tokens),
        seconds_estimate=_seconds(_store(config), trie, trainings),
        resources=resource_plan(config),
    )


def _whole_space(config: Config) -> str:
    return ",".join(str(strategy) for strategy in strategy_space(config.search.teams) if strategy)


def _store(config: Config) -> StrategyStore:
    return StrategyStore(storage_locations(config.storage)[1])


def _nodes(config: Config, prepared: Prepared, trie: RoundTrie) -> tuple[PlanNode, ...]:
    store, folder = _store(config), storage_locations(config.storage)[1]
    chat = config.models.operators
    inputs = influence_inputs(config, prepared=prepared, teams=config.search.teams, cache=folder)
    resources = Resources(
        completer=_PlannedCompleter(
            revision=asked_revision(chat, model=chat.served_name, revision=chat.expected_revision())
        ),
        embedder=lent_embedder(config, config.search.teams, folder),
        tokenizer=lent_tokenizer(config, config.search.teams),
        screener=in_process_screener(config.screener, folder) if config.screener.pts else None,
        language=prepared.language,
        influence=None if inputs is None else find_influence(inputs),
        domain=config.dataset.domain,
        content_columns=config.dataset.content_columns,
    )
    found: list[PlanNode] = []
    for node in trie.nodes:
        recipes = [config.teams.recipe(team) for team in node.teams]
        key = dataset_key(prepared.sample.content_hash, recipes, resources, run_id="plan")
        found.append(PlanNode(strategy=str(node), cached=store.has(key)))
    return tuple(found)


def _model_calls(config: Config, sample: StoredDataset, trie: RoundTrie) -> tuple[int, int]:
    """Calls if every row of the sample needs one from each operator with a completer, and their tokens, roughly."""
    table = sample.read(["question", "answer"])
    letters = sum(pc.sum(pc.utf8_length(table[name])).as_py() or 0 for name in ("question", "answer"))
    row_tokens = letters // 3 // max(1, sample.num_rows)
    operators: list[Operator] = [one for node in trie.nodes for one in config.teams.recipe(node.teams[-1])]
    calls = sample.num_rows * sum(operator.needs.completer for operator in operators)
    return calls, calls * (_PROMPT_TOKENS + 2 * row_tokens)


def _judgements(config: Config, prepared: Prepared, num_strategies: int) -> int:
    """Completions that the evaluator asks for; where it compares, the first baseline of each phase meets itself."""
    evaluation = config.evaluation
    same = 1 if evaluation.evaluator.compares else 0
    searched = (evaluation.baseline_seeds - same + num_strategies) * prepared.validation.num_rows
    confirmed = (evaluation.confirmation.most_trainings - same) * prepared.test.num_rows
    return evaluation.evaluator.num_completions * (searched + confirmed)


def _seconds(store: StrategyStore, trie: RoundTrie, trainings: int) -> float | None:
    """From the mean times of earlier trainings and team runs in the same cache."""
    records = list(_records(store))
    if not records:
        return None
    per_training = sum(sum(record.seconds.values()) for record in records) / len(records)
    by_team: dict[str, list[float]] = {}
    for origin in origins(store):
        by_team.setdefault(origin.strategy.rpartition(">")[2], []).append(origin.seconds)
    team_runs = [by_team.get(node.teams[-1], [0.0]) for node in trie.nodes]
    return per_training * trainings + sum(sum(seconds) / len(seconds) for seconds in team_runs)


def _records(store: StrategyStore) -> Iterator[TrainingRecord]:
    """The trainings that this version can read; those that another version wrote say nothing here."""
    for text in outcomes(store):
        with contextlib.suppress(ValidationError):
            yield TrainingRecord.model_validate_json(text)
