"""Search policies: what each proposes, how it ends, and that a new one is one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from actors.storage.storage import Storage
from autodp_ray.config.run_config import Config, build_config
from autodp_ray.journal import Journal
from autodp_ray.search.journaled import JournaledPolicy
from autodp_ray.search.loop import Baseline, Evaluated, search
from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.policies.agent_surrogate import AgentSurrogateSearch
from autodp_ray.search.policies.all import AllSearch
from autodp_ray.search.policies.base import PolicyInputs, PolicySpec
from autodp_ray.search.policies.exhaustive import ExhaustiveSearch
from autodp_ray.search.policies.given import GivenSearch
from autodp_ray.search.policies.greedy import GreedySearch
from autodp_ray.search.policies.mcts import MctsSearch
from autodp_ray.search.policies.neighbours import NeighbourSearch
from autodp_ray.search.policies.random import RandomSearch
from autodp_ray.search.policies.registry import POLICIES, AnyPolicy, source_words
from autodp_ray.search.policies.surrogate import SurrogateSearch
from autodp_ray.search.proposal import History, PolicyDecision, Proposal, StopReason
from autodp_ray.statistics import Interval
from autodp_ray.strategy import PAPER_TEAMS, Strategy, strategy_space
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import config_values
from tests.autodp_ray.search.policies.walking import Replies, built, going_on, proposed, walk
from tests.autodp_ray.search.scores import feedback

DRAWING: tuple[PolicySpec, ...] = (RandomSearch(), NeighbourSearch())
"""Policies that ask no model and draw with a seed."""
ALONE: tuple[PolicySpec, ...] = (
    *DRAWING,
    ExhaustiveSearch(),
    SurrogateSearch(),
    SurrogateSearch(acquisition="thompson"),
    MctsSearch(insight=False),
)
"""Policies that ask no model and go on until they know no more."""
ALONE_IDS = ["random", "neighbours", "exhaustive", "surrogate", "thompson", "mcts"]


@pytest.mark.parametrize("spec", ALONE, ids=ALONE_IDS)
@given(seed=st.integers(0, 100), num=st.integers(1, 6), gain=st.sampled_from(["cleaning", "generation>cleaning"]))
@settings(max_examples=6, deadline=None)
def test_a_policy_never_repeats_itself_and_ends(spec: PolicySpec, seed: int, num: int, gain: str) -> None:
    rounds, _ = walk(built(spec, num_strategies=num, seed=seed), {gain: 0.5})
    tried = [name for each in rounds for name in each]
    assert len(set(tried)) == len(tried)
    assert set(tried) <= {str(strategy) for strategy in strategy_space() if strategy}
    assert all(len(each) <= num for each in rounds)


@pytest.mark.parametrize("spec", [AgentSearch(), AgentSurrogateSearch(), GreedySearch()], ids=lambda spec: spec.name)
def test_an_agent_that_fills_its_rounds_scores_what_its_policy_announces(spec: PolicySpec) -> None:
    names = [str(strategy) for strategy in strategy_space() if strategy]
    chat = Replies(*(going_on(*names[at : at + 6]) for at in (0, 6, 12)))
    rounds, _ = walk(built(spec, num_strategies=2, chat=chat), {}, at_most=18)
    announced = spec.most_strategies(PAPER_TEAMS, max_rounds=3, num_strategies=2)
    assert sum(map(len, rounds[:3])) == announced


@pytest.mark.parametrize("spec", DRAWING, ids=lambda spec: spec.name)
def test_the_same_seed_draws_the_same_and_another_draws_otherwise(spec: PolicySpec) -> None:
    told = feedback({"cleaning": 0.3, "generation": 0.1, "optimization": -0.2, "selection": 0.0})
    draws = [proposed(built(spec, seed=seed), told) for seed in range(8)]
    assert draws == [proposed(built(spec, seed=seed), told) for seed in range(8)]
    assert len({tuple(each) for each in draws}) > 1


@pytest.mark.parametrize("spec", ALONE, ids=ALONE_IDS)
@pytest.mark.parametrize(("score", "best"), [(0.5, "cleaning"), (0.05, None)])
def test_at_the_end_the_best_is_named_only_above_the_noise_floor(
    spec: PolicySpec, score: float, best: str | None
) -> None:
    _, last = walk(built(spec), {"cleaning": score})
    assert last.decision is (PolicyDecision.NONE_NEEDED if best is None else PolicyDecision.BEST)
    assert last.best == (None if best is None else Strategy.parse(best))


def test_random_tries_the_whole_space_of_the_teams() -> None:
    two = ("cleaning", "selection")
    rounds, _ = walk(built(RandomSearch(), num_strategies=3, teams=two), {})
    assert sorted(name for each in rounds for name in each) == [
        "cleaning",
        "cleaning>selection",
        "selection",
        "selection>cleaning",
    ]


def test_random_draws_every_strategy_equally_often() -> None:
    space = [str(strategy) for strategy in strategy_space() if strategy]
    drawn = [proposed(built(RandomSearch(), num_strategies=1, seed=seed), feedback())[0] for seed in range(6400)]
    counts = [drawn.count(name) for name in space]
    assert min(counts) > 60
    assert max(counts) < 145


def test_neighbours_start_with_single_teams_and_go_on_from_the_best() -> None:
    policy = built(NeighbourSearch(), num_strategies=4)
    assert sorted(proposed(policy, feedback())) == sorted(PAPER_TEAMS)
    scores = {"cleaning": 0.3, "optimization": 0.1, "generation": -0.1, "selection": 0.2}
    near = {str(one) for one in Strategy.parse("cleaning").neighbours()} - {"none"}
    assert set(proposed(policy, feedback(scores))) <= near


def test_neighbours_stop_where_every_single_team_makes_things_worse() -> None:
    rounds, last = walk(built(NeighbourSearch(), num_strategies=2), dict.fromkeys(PAPER_TEAMS, -0.3))
    assert sorted(name for each in rounds for name in each) == sorted(PAPER_TEAMS)
    assert last.decision is PolicyDecision.NONE_NEEDED


def test_given_rounds_come_in_their_turn_with_their_repeats() -> None:
    policy = built(GivenSearch(rounds="none,cleaning,cleaning;cleaning>generation"))
    assert proposed(policy, feedback()) == ["none", "cleaning", "cleaning"]
    assert proposed(policy, feedback({"cleaning": 0.1})) == ["cleaning>generation"]
    assert proposed(policy, feedback({"cleaning": 0.1}, {"cleaning>generation": 0.1})) == []


def config(policy: object, **search: object) -> Config:
    return build_config(config_values("d", search={"policy": policy, **search}))


def test_a_name_alone_is_a_policy_and_the_papers_is_the_default() -> None:
    assert config("random") == config({"name": "random"})
    assert config("neighbours").search.policy == NeighbourSearch()
    assert build_config(config_values("d")).search.policy == AgentSearch()
    assert build_config(config_values("d"), ["search.policy=random"]).search.policy == RandomSearch()


def test_a_wrong_policy_is_bad_input() -> None:
    with pytest.raises(InputError, match="unknown name 'randm'; did you mean random"):
        config("randm")
    with pytest.raises(InputError, match=r"search\.policy\.rounds is missing"):
        config("given")
    with pytest.raises(InputError, match="team 'selection' is switched off"):
        config({"name": "given", "rounds": "selection"}, teams=["cleaning"])


def test_strategies_of_the_command_line_are_a_policy_that_no_rule_stops() -> None:
    run = build_config(config_values("d", budget={"trainings": 1}))
    assert run.scoring(None) is run
    given = run.scoring("cleaning;generation,generation")
    assert given.search.policy == GivenSearch(rounds="cleaning;generation,generation")
    assert (given.search.used_teams, given.search.most_strategies) == (("cleaning", "generation"), 3)
    assert [type(rule).__name__ for rule in given.stop_rules] == []
    assert [type(rule).__name__ for rule in run.stop_rules] == ["MaxRounds", "BudgetConfig"]


@pytest.mark.parametrize("spec", POLICIES, ids=lambda spec: spec.__name__)
def test_each_policy_has_words_for_whom_it_names_and_for_its_end(spec: type[PolicySpec]) -> None:
    assert set(spec.sources) <= set(source_words())
    assert all(words for words in spec.sources.values())
    assert PolicyDecision.CONTINUE in spec.endings


ASKING = (AgentSearch(), GreedySearch(), AgentSurrogateSearch(), MctsSearch())


def test_a_policy_names_the_model_that_it_asks() -> None:
    assert [spec.roles for spec in ASKING] == [{"agent"}] * len(ASKING)
    assert [spec.roles for spec in (*ALONE, AllSearch())] == [frozenset()] * (len(ALONE) + 1)


def test_a_policy_survives_json() -> None:
    adapter: TypeAdapter[PolicySpec] = TypeAdapter(AnyPolicy)
    for spec in (*ALONE, *ASKING, AllSearch(), GivenSearch(rounds="cleaning")):
        assert adapter.validate_json(spec.model_dump_json()) == spec


class LongestSearch(PolicySpec):
    """A policy of a stranger: the longest strategies first."""

    sources: ClassVar[Mapping[str, str]] = {"longest": "the longest one"}
    endings: ClassVar[Mapping[PolicyDecision, StopReason]] = {
        PolicyDecision.CONTINUE: StopReason(name="no_longer", words="there is no longer one")
    }

    name: Literal["longest"] = "longest"

    def build(self, inputs: PolicyInputs) -> LongestPolicy:
        return LongestPolicy(inputs.task.teams)


class LongestPolicy:
    endings = LongestSearch.endings

    def __init__(self, teams: tuple[str, ...]) -> None:
        self._teams = teams

    def propose(self, history: History) -> Proposal:
        open_ones = [one for one in strategy_space(self._teams)[::-1] if one not in history.feedback.scores and one]
        return Proposal(strategies=tuple(open_ones[:2]), source="longest")


def test_a_new_policy_is_one_class_that_is_searched_with_journalled_and_resumed(tmp_path: Path) -> None:
    storage = Storage.at(tmp_path)

    def evaluate(strategies: Sequence[Strategy]) -> list[Evaluated]:
        zero = Interval(estimate=0.0, low=0.0, high=0.0)
        return [Evaluated(strategy=strategy, score=zero) for strategy in strategies]

    def run() -> list[str]:
        spec = LongestSearch()
        outcome = search(
            JournaledPolicy(policy=built(spec, teams=("cleaning", "selection")), journal=Journal(storage)),
            evaluate=evaluate,
            baseline=Baseline(score=0, noise_floor=0),
            rules=(),
            on_round=lambda done: None,
        )
        assert outcome.stop_reason.name == "no_longer"
        return [str(one.strategy) for each in outcome.rounds for one in each.evaluated]

    assert run() == run() == ["selection>cleaning", "cleaning>selection", "selection", "cleaning"]
    assert Journal(storage).count("proposal") == 3
