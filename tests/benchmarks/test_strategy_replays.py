"""Replays on a table of scores: what is made of a known table is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from autodp_ray.config.run_config import load_config
from autodp_ray.search.confirmation import Confirmation
from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.policies.exhaustive import ExhaustiveSearch
from autodp_ray.search.proposal import PromptMessage
from autodp_ray.statistics import paired_interval
from autodp_ray.strategy import NONE, Strategy, strategy_space
from benchmarks.claims import DESIGNS, Noise, confirmable, null_searches, power
from benchmarks.recorded_replies import NotRecordedError, Replies
from benchmarks.regret import POLICIES
from benchmarks.regret_table import ASKED_EVALUATIONS, Replayed, Search, beside_the_others, whole_teams
from benchmarks.score_table import ScoredTraining, ScoreTable, read_table, write_table
from benchmarks.strategy_table import CONFIG, NUM_BASELINE_SEEDS, RESULT
from operators.contract.resources import Completion

TEAMS = ("cleaning", "optimization", "selection")
NUM_VALIDATION, NUM_ITEMS = 20, 60
BEST = Strategy(("cleaning", "selection"))


class StoppingChat:
    """Proposes one of the open strategies, then stops."""

    def __init__(self) -> None:
        self._decisions = iter(("continue", "none_needed"))

    def chat(self, messages: Sequence[PromptMessage], *, json_schema: str | None, seed: int) -> Completion:
        decision = next(self._decisions)
        is_open = json.loads(json_schema or "")["properties"]["strategies"]["items"]["enum"]
        strategies = is_open[:1] if decision == "continue" else []
        return Completion(
            text=json.dumps({"reasons": "", "decision": decision, "strategies": strategies, "best": None})
        )


NOBODY = Replies(texts={})
QUICKSTART = load_config(CONFIG)


def made_table(noise: float) -> ScoreTable:
    """All strategies of three teams; each team more costs 0.1, but for the best, which gains 0.5."""
    rng = np.random.default_rng(0)
    seeds = {NONE: range(33), **{one: range(3) for one in strategy_space(TEAMS) if one}}
    gains = {one: 0.5 if one == BEST else -0.1 * len(one) for one in seeds}
    trainings = [
        ScoredTraining(strategy=one, seed=seed, numerators=gains[one] + rng.normal(0, noise, NUM_ITEMS) - 3.0)
        for one, each in seeds.items()
        for seed in each
    ]
    return ScoreTable(
        trainings=tuple(trainings), denominators=np.ones(NUM_ITEMS), num_validation=NUM_VALIDATION, made={"by": "hand"}
    )


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = made_table(0.1)
    write_table(table, tmp_path / "table.parquet")
    read = read_table(tmp_path / "table.parquet")
    assert (read.made, read.num_validation, read.strategies) == (table.made, table.num_validation, table.strategies)
    assert [(one.strategy, one.seed) for one in read.trainings] == [(one.strategy, one.seed) for one in table.trainings]
    for one, other in zip(read.trainings, table.trainings, strict=True):
        assert one.numerators == pytest.approx(other.numerators, abs=1e-6)


def test_the_space_is_that_of_the_teams_that_are_whole() -> None:
    assert whole_teams(made_table(0.1)) == TEAMS


def test_without_noise_a_search_of_everything_has_no_regret_and_one_of_less_has_that_of_its_best() -> None:
    replayed = Replayed(made_table(1e-9), TEAMS, QUICKSTART)
    search = Search(table_seed=0, number=1, is_drawn=False)
    regrets = replayed.regrets(search, replayed.replay(ExhaustiveSearch(), search, chat=NOBODY))
    assert regrets[0] == pytest.approx(0.6)
    assert regrets[-1] == pytest.approx(0.0, abs=1e-6)


def test_what_is_recommended_is_the_shortest_of_the_best_and_nothing_where_nothing_gains() -> None:
    table = made_table(0.05)
    replayed = Replayed(table, TEAMS, QUICKSTART)
    worse = [one for one in replayed.space if one != BEST]
    assert replayed.recommended(0, frozenset(worse)) == NONE
    assert replayed.recommended(0, frozenset(replayed.space)) == BEST
    search = Search(table_seed=0, number=1, is_drawn=False)
    rounds = replayed.replay(ExhaustiveSearch(), search, chat=NOBODY)
    regrets = replayed.regrets_of_recommended(search, rounds)
    assert regrets[0] == pytest.approx(0.5, abs=0.05), "that of no processing"
    assert regrets[-1] == pytest.approx(0.0, abs=1e-6)


def test_agent_and_surrogate_together_are_held_against_the_better_of_both_at_every_number_of_strategies() -> None:
    numbers = range(1, ASKED_EVALUATIONS + 1)
    regrets = {
        "agent": [0.5, 0.1, 0.1, 0.1, 0.1, 0.1],
        "ucb": [0.3, 0.3, 0.2, 0.1, 0.0, 0.0],
        "agent_surrogate": [0.3, 0.3, 0.1, 0.1, 0.0, 0.0],
        "random": [0.5] * ASKED_EVALUATIONS,
    }
    near = {"agent_surrogate": 3, "random": 6}
    found = {
        name: {"evaluations_to_the_noise_floor": near.get(name)}
        | {f"after_{num}": regret for num, regret in zip(numbers, each, strict=True)}
        for name, each in regrets.items()
    }
    beside = beside_the_others(found)
    assert beside["most_above_the_better"] == pytest.approx(0.2)
    assert beside["evaluations_over_those_of_random"] == 0.5


def test_searches_differ_in_the_order_of_their_teams_and_share_their_drawn_starts_between_policies() -> None:
    replayed = Replayed(made_table(0.1), TEAMS, QUICKSTART)
    assert len({one.order(TEAMS) for one in replayed.searches}) > 3
    assert len({one.seed for one in replayed.searches if not one.is_drawn}) == len(replayed.searches) / 2
    drawn = replayed.searches[-1]
    firsts = {replayed.replay(spec, drawn, chat=NOBODY)[0].strategies for spec in POLICIES.values()}
    assert drawn.is_drawn
    assert len(firsts) == 1


def test_an_agent_is_replayed_with_what_it_said_and_nobody_is_asked_then(tmp_path: Path) -> None:
    replayed, path = Replayed(made_table(0.1), TEAMS, QUICKSTART), tmp_path / "replies.parquet"
    search, spec = replayed.searches[-1], AgentSearch(trust_stop=True)
    replies = Replies.read(path, ask=StoppingChat(), keep=True)
    rounds = replayed.replay(spec, search, chat=replies)
    replies.save()
    again = Replies.read(path)
    assert replayed.replay(spec, search, chat=again) == rounds
    assert [one.source for one in rounds] == ["start", "agent"]
    with pytest.raises(NotRecordedError, match="agent_replies"):
        replayed.replay(spec, replayed.searches[-2], chat=again)


@pytest.mark.parametrize("rows", ["validation", "test"])
def test_intervals_of_one_real_training_of_no_processing_against_three_others_hold_zero(rows: str) -> None:
    table = read_table(RESULT)
    items = {"validation": table.validation, "test": table.test}[rows]
    trained = [table.items(one, items) for one in table.of(NONE)]
    turns = [[*trained[first:], *trained[:first]][:4] for first in range(len(trained))]
    intervals = [paired_interval(one[:1], one[1:], seed=0, num_resamples=400) for one in turns]
    assert np.mean([one.low <= 0 <= one.high for one in intervals]) > 0.85


def test_a_search_is_judged_by_other_seeds_than_it_saw() -> None:
    table = made_table(0.5)
    replayed = Replayed(table, TEAMS, QUICKSTART)
    own = {one.strategy: table.score(one, table.test) for one in table.trainings if one.seed == 1}
    others = [one for one in table.of(BEST) if one.seed != 1]
    expected = np.mean([table.score(one, table.test) for one in others])
    baseline = np.mean([table.score(one, table.test) for one in table.of(NONE)])
    assert replayed.judged(1)[BEST] == pytest.approx(expected - baseline)
    assert replayed.judged(1)[BEST] != pytest.approx(own[BEST] - baseline)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=list(DESIGNS))
def test_few_searches_among_equals_claim_anything_and_intervals_hold_the_gain(design: Confirmation) -> None:
    noise = Noise(made_table(0.1))
    assert null_searches(noise, design, num=20)["false_claims"] <= 0.15
    found = power(noise, design, num=10)["gain_040"]
    assert isinstance(found, dict)
    assert found["coverage"] >= 0.7


def test_a_confirmable_gain_lies_between_the_measured_ones() -> None:
    assert confirmable({0.0: 0.0, 0.02: 0.6, 0.04: 1.0}) == pytest.approx(0.03)
    assert confirmable({0.0: 0.0, 0.02: 0.6}) is None


def test_the_table_that_is_checked_in_has_its_baseline_and_a_space_that_is_whole() -> None:
    table = read_table(RESULT)
    assert len(table.of(NONE)) == NUM_BASELINE_SEEDS
    assert len(Replayed(table, whole_teams(table), QUICKSTART).seeds) > 1
    assert {"command", "setting", "versions"} <= table.made.keys()
