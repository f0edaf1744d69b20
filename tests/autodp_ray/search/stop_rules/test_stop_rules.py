"""Stop rules: when each ends a search, how they are written in the config, and that a new one is one class."""

from __future__ import annotations

from typing import Literal

import pytest

from autodp_ray.config.run_config import build_config
from autodp_ray.search.loop import Baseline, search
from autodp_ray.search.policies.given import GivenPolicy
from autodp_ray.search.proposal import Feedback, StopReason
from autodp_ray.search.stop_rules.base import Spent, StopInputs, StopRuleSpec
from autodp_ray.search.stop_rules.max_rounds import MaxRounds
from autodp_ray.search.stop_rules.patience import Patience
from autodp_ray.search.stop_rules.registry import STOP_RULES, rule_endings
from autodp_ray.search.stop_rules.target import Target
from autodp_ray.strategy import parse_rounds
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import config_values
from tests.autodp_ray.search.scores import feedback

NOTHING = StopInputs(spent=lambda: Spent(seconds=0, tokens=0, trainings=0), has_begun=lambda number: False)
A, B, C, D = "cleaning", "optimization", "generation", "selection"


def name_of(reason: StopReason | None) -> str | None:
    return None if reason is None else reason.name


def test_rounds_are_used_up_when_as_many_are_done() -> None:
    rule = MaxRounds(rounds=2).build(NOTHING)
    reasons = [rule.reason(told) for told in (feedback(), feedback({A: 1}), feedback({A: 1}, {B: 2}))]
    assert [name_of(reason) for reason in reasons] == [None, None, "max_rounds"]


@pytest.mark.parametrize(
    ("rounds", "stops"),
    [
        ([], False),
        ([{A: 0.1}], False),
        ([{A: 0.1}, {B: 0.1}], False),
        ([{A: 0.1}, {B: 0.1}, {C: 0.05}], True),
        ([{A: 0.1}, {B: 0.0}, {C: 0.2}], False),
        ([{A: 0.1}, {B: 0.2}, {C: 0.1}], False),
        ([{A: 0.1}, {B: 0.2}, {C: 0.1}, {D: 0.2}], True),
        ([{A: None}, {B: None}, {C: None}], False),
        ([{A: -0.1}, {B: None}, {C: None}], True),
    ],
)
def test_patience_ends_after_rounds_in_a_row_without_a_better_best(
    rounds: list[dict[str, float | None]], stops: bool
) -> None:
    reason = Patience(rounds=2).build(NOTHING).reason(feedback(*rounds))
    assert name_of(reason) == ("patience" if stops else None)


def test_a_target_ends_when_it_is_reached() -> None:
    rule = Target(score=0.2).build(NOTHING)
    reasons = [rule.reason(told) for told in (feedback(), feedback({A: 0.19, B: None}), feedback({A: 0.1}, {B: 0.2}))]
    assert [name_of(reason) for reason in reasons] == [None, None, "target"]


def test_rules_are_named_in_the_config_and_none_is_on_by_itself() -> None:
    assert build_config(config_values("d")).search.stop == ()
    config = build_config(config_values("d", search={"stop": ["patience", {"name": "target", "score": 0.5}]}))
    assert config.search.stop == (Patience(rounds=2), Target(score=0.5))
    assert [rule.stops.name for rule in config.stop_rules] == ["max_rounds", "patience", "target", "budget"]
    with pytest.raises(InputError, match="unknown name 'patienc'; did you mean patience"):
        build_config(config_values("d", search={"stop": ["patienc"]}))


def test_each_rule_has_a_name_and_words_of_its_own() -> None:
    assert len({reason.name for reason in rule_endings()}) == len(STOP_RULES)
    assert all(reason.words for reason in rule_endings())


class LuckyRounds(StopRuleSpec):
    """A rule of a stranger: stops before the third round."""

    stops = StopReason(name="lucky", words="two rounds are enough")

    name: Literal["lucky"] = "lucky"

    def build(self, inputs: StopInputs) -> LuckyRounds:
        return self

    def reason(self, feedback: Feedback) -> StopReason | None:
        return self.stops if feedback.next_round == 3 else None


def test_a_new_rule_is_one_class_that_the_search_asks() -> None:
    outcome = search(
        GivenPolicy(rounds=parse_rounds("cleaning;generation;selection")),
        evaluate=lambda strategies: [],
        baseline=Baseline(score=0, noise_floor=0),
        rules=[LuckyRounds().build(NOTHING)],
        on_round=lambda done: None,
    )
    assert (len(outcome.rounds), outcome.stop_reason.words) == (2, "two rounds are enough")
