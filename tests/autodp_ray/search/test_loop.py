"""The search loop with scripted proposals and scores: why it stops, and who is best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.search.agent.agent import ProposalSource
from autodp_ray.search.loop import Baseline, Evaluated, Round, SearchOutcome, search
from autodp_ray.search.policies.agent import AgentSearch
from autodp_ray.search.policies.given import GivenPolicy
from autodp_ray.search.proposal import Feedback, History, Policy, PolicyDecision, Proposal, StopReason, StopRule
from autodp_ray.search.stop_rules.max_rounds import MaxRounds
from autodp_ray.statistics import Interval
from autodp_ray.strategy import NONE, Strategy, parse_rounds, parse_strategies, strategy_space
from operators.contract.errors import EndpointError


def propose(text: str, *, source: ProposalSource = ProposalSource.AGENT) -> Proposal:
    return Proposal(strategies=parse_strategies(text), decision=PolicyDecision.CONTINUE, source=source, repairs=0)


def stop(best: str | None) -> Proposal:
    decision = PolicyDecision.NONE_NEEDED if best is None else PolicyDecision.BEST
    chosen = None if best is None else Strategy.parse(best)
    return Proposal(strategies=(), decision=decision, best=chosen, source=ProposalSource.AGENT, repairs=0)


NOTHING = Proposal(strategies=(), decision=PolicyDecision.CONTINUE, source=ProposalSource.FALLBACK, repairs=2)


BUDGET = StopReason(name="budget", words="the budget was used up")


class Script:
    """An agent that says what is written, and a bench that gives what is written."""

    endings = AgentSearch.endings

    def __init__(self, proposals: Sequence[Proposal], scores: Mapping[str, float | None]) -> None:
        self._proposals = list(proposals)
        self._scores = scores
        self.feedback: list[Feedback] = []
        self.rounds: list[Round] = []
        self.histories: list[History] = []
        self.budget = 100

    def propose(self, history: History) -> Proposal:
        self.feedback.append(history.feedback)
        self.histories.append(history)
        return self._proposals[len(self.feedback) - 1]

    def evaluate(self, strategies: Sequence[Strategy]) -> list[Evaluated]:
        return [self._evaluated(strategy) for strategy in strategies]

    def _evaluated(self, strategy: Strategy) -> Evaluated:
        score = self._scores[str(strategy)]
        if score is None:
            return Evaluated(strategy=strategy, error=f"{strategy}: the endpoint is gone")
        return Evaluated(strategy=strategy, score=Interval(estimate=score, low=score - 0.1, high=score + 0.1))

    def reason(self, feedback: Feedback) -> StopReason | None:
        """The budget, as a stop rule."""
        assert feedback.next_round == len(self.rounds) + 1
        self.budget -= 1
        return None if self.budget >= 0 else BUDGET

    def run(self, policy: Policy | None = None, *, max_rounds: int = 5) -> SearchOutcome:
        rules: list[StopRule] = [MaxRounds(rounds=max_rounds), self]
        return search(
            self if policy is None else policy,
            evaluate=self.evaluate,
            baseline=Baseline(score=-2.5, noise_floor=0.02),
            rules=rules,
            on_round=self.rounds.append,
        )


def best_of(outcome: SearchOutcome) -> str:
    assert outcome.best is not None
    return str(outcome.best.strategy)


def test_the_agents_best_ends_the_search_and_the_scores_name_the_winner() -> None:
    script = Script(
        [propose("cleaning,optimization"), propose("cleaning>optimization"), stop("optimization")],
        {"cleaning": 0.3, "optimization": 0.1, "cleaning>optimization": 0.2},
    )
    outcome = script.run()
    assert outcome.stop_reason.name == "agent_best"
    assert outcome.agent_choice == Strategy.parse("optimization")
    assert best_of(outcome) == "cleaning"
    assert [each.number for each in outcome.rounds] == [1, 2]
    assert tuple(script.rounds) == outcome.rounds


def test_a_round_knows_who_chose_each_of_its_strategies() -> None:
    agents = Strategy.parse("optimization")
    shared = replace(propose("cleaning,optimization"), source="surrogate", other_sources={agents: "agent"})
    (done,) = Script([shared, stop(None)], {"cleaning": 0.3, "optimization": 0.1}).run().rounds
    assert [done.source_of(one.strategy) for one in done.evaluated] == ["surrogate", "agent"]


def test_none_needed_ends_the_search_and_what_was_measured_best_stays_visible() -> None:
    outcome = Script([propose("cleaning"), stop(None)], {"cleaning": -0.01}).run()
    assert outcome.stop_reason.name == "agent_none_needed"
    assert outcome.agent_choice == NONE
    assert best_of(outcome) == "cleaning"


def test_a_round_without_a_new_strategy_ends_the_search() -> None:
    outcome = Script([propose("cleaning"), NOTHING], {"cleaning": 0.1}).run()
    assert outcome.stop_reason.name == "nothing_new"
    assert outcome.agent_choice is None
    assert len(outcome.rounds) == 1


def test_the_last_round_ends_the_search_without_another_question() -> None:
    script = Script([propose("cleaning"), propose("generation")], {"cleaning": 0.1, "generation": 0.2})
    outcome = script.run(max_rounds=2)
    assert outcome.stop_reason.name == "max_rounds"
    assert outcome.agent_choice is None
    assert len(script.feedback) == 2


def test_a_used_up_budget_ends_the_search_before_the_next_question() -> None:
    script = Script([propose("cleaning"), propose("generation")], {"cleaning": 0.1})
    script.budget = 1
    outcome = script.run()
    assert outcome.stop_reason == BUDGET
    assert len(script.feedback) == 1
    assert best_of(outcome) == "cleaning"


def test_a_budget_that_is_used_up_from_the_start_leaves_no_best() -> None:
    script = Script([], {})
    script.budget = 0
    outcome = script.run()
    assert (outcome.stop_reason, outcome.rounds, outcome.best, outcome.failures) == (BUDGET, (), None, ())


def test_a_failed_strategy_is_shown_as_failed_and_the_others_count() -> None:
    script = Script([propose("cleaning,generation"), stop("cleaning")], {"cleaning": -0.2, "generation": None})
    outcome = script.run()
    assert best_of(outcome) == "cleaning"
    assert [(str(one.strategy), one.error) for one in outcome.failures] == [
        ("generation", "generation: the endpoint is gone")
    ]
    shown = {str(one.strategy): one.score for one in script.feedback[1].rounds[0].results}
    assert shown == {"cleaning": -0.2, "generation": None}


def test_when_every_strategy_fails_there_is_no_best_and_the_search_goes_on() -> None:
    script = Script([propose("cleaning"), propose("generation"), NOTHING], {"cleaning": None, "generation": None})
    outcome = script.run()
    assert outcome.best is None
    assert len(outcome.failures) == 2
    assert outcome.stop_reason.name == "nothing_new"


def test_an_agent_that_cannot_be_reached_is_a_fault_and_no_end_of_the_search() -> None:
    class Unreachable(Script):
        def propose(self, history: History) -> Proposal:
            raise EndpointError("refused 5 times")

    with pytest.raises(EndpointError):
        Unreachable([], {}).run()


def test_a_policy_hears_what_it_proposed_in_the_rounds_before() -> None:
    first, second = propose("cleaning"), propose("generation")
    script = Script([first, second, stop("cleaning")], {"cleaning": 0.1, "generation": 0.2})
    script.run()
    assert [history.proposals for history in script.histories] == [(), (first,), (first, second)]


def test_none_needed_against_the_scores_is_logged_and_the_scores_decide(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="autodp_ray.search.loop"):
        outcome = Script([propose("cleaning"), stop(None)], {"cleaning": 0.3}).run()
    assert (outcome.stop_reason.name, outcome.agent_choice) == ("agent_none_needed", NONE)
    assert best_of(outcome) == "cleaning"
    (said,) = caplog.messages
    assert "cleaning scores above the noise floor of 0.0200" in said
    caplog.clear()
    Script([propose("cleaning"), stop(None)], {"cleaning": 0.01}).run()
    assert caplog.messages == []


def test_the_agent_hears_the_scores_of_all_rounds_with_their_intervals_and_the_noise() -> None:
    script = Script(
        [propose("cleaning"), propose("generation"), stop("cleaning")], {"cleaning": 0.25, "generation": 0.5}
    )
    script.run()
    assert script.feedback[0] == Feedback(rounds=(), baseline_score=-2.5, noise_floor=0.02)
    last = script.feedback[2]
    assert [each.round for each in last.rounds] == [1, 2]
    assert [(str(one.strategy), one.score, one.ci95) for each in last.rounds for one in each.results] == [
        ("cleaning", 0.25, (0.15, 0.35)),
        ("generation", 0.5, (0.4, 0.6)),
    ]


def test_rounds_say_who_chose_them() -> None:
    script = Script(
        [propose("cleaning"), propose("generation", source=ProposalSource.FALLBACK), stop("cleaning")],
        {"cleaning": 0.1, "generation": 0.2},
    )
    assert [each.source for each in script.run().rounds] == ["agent", "fallback"]


def test_rounds_keep_what_was_noted_of_the_replies() -> None:
    noted = replace(propose("cleaning"), notes=("only 1 of 4 strategies were proposed",))
    outcome = Script([noted, stop("cleaning")], {"cleaning": 0.1}).run()
    assert outcome.rounds[0].notes == ("only 1 of 4 strategies were proposed",)


def test_of_equal_scores_the_shorter_then_the_earlier_strategy_is_best() -> None:
    scores = dict.fromkeys(("cleaning>optimization", "generation", "cleaning"), 0.5)
    script = Script([propose("cleaning>optimization,generation"), propose("cleaning"), stop("cleaning")], scores)
    assert best_of(script.run()) == "generation"


@given(scores=st.lists(st.none() | st.floats(-1, 1), min_size=1, max_size=8))
def test_the_best_has_the_highest_score_of_all_rounds(scores: list[float | None]) -> None:
    space = strategy_space()[1 : len(scores) + 1]
    table = {str(strategy): score for strategy, score in zip(space, scores, strict=True)}
    outcome = Script([propose(str(one)) for one in space], table).run(max_rounds=len(scores))
    present = [score for score in scores if score is not None]
    found = None if outcome.best is None else outcome.best.estimate
    assert found == max(present, default=None)


def test_given_rounds_are_scored_without_an_agent() -> None:
    script = Script([], {"cleaning": 0.1, "none": 0.0, "cleaning>generation": 0.05})
    given = parse_rounds("none,cleaning;cleaning>generation")
    outcome = script.run(GivenPolicy(rounds=given))
    assert outcome.stop_reason.name == "given_scored"
    assert [(each.number, each.source, len(each.evaluated)) for each in script.rounds] == [
        (1, "given", 2),
        (2, "given", 1),
    ]
    assert outcome.rounds == tuple(script.rounds)
    assert best_of(outcome) == "cleaning"
    assert outcome.agent_choice is None
