"""Scores of answers: a judge's comparisons in both orders, and likeness to the references."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from rouge_score import rouge_scorer

from actors.llm.usage import Usage
from autodp_ray.evaluators.judge import JudgeGrader, abstained_frac
from autodp_ray.evaluators.reference import ReferenceGrader, rouge_l
from autodp_ray.statistics import score
from operators.contract.errors import EndpointError
from operators.contract.resources import Completion, CompletionRequest
from tests.autodp_ray.run_fakes import records

ROWS = records(["red", "green", "blue"])


class FakeJudge:
    """Prefers answers by a rule on (first, second); copies share what was asked."""

    def __init__(self, rule: Callable[[str, str], str], *, revision: str = "judge-1") -> None:
        self.asked: list[CompletionRequest] = []
        self.revision = revision
        self._rule = rule
        self._calls = 0

    def __copy__(self) -> FakeJudge:
        other = FakeJudge(self._rule, revision=self.revision)
        other.asked = self.asked
        return other

    def usage(self) -> Usage:
        return Usage(calls_requested=self._calls, calls_executed=self._calls)

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        self.asked += requests
        self._calls += len(requests)
        return [Completion(text=self._rule(*shown(request))) for request in requests]


def shown(request: CompletionRequest) -> tuple[str, str]:
    """The two answers of a request."""
    text = request.messages[-1][1]
    first, second = text.partition("First answer:\n")[2].split("\n\nSecond answer:\n")
    return first, second


def better(which: str) -> str:
    return json.dumps({"better": which})


def longer(first: str, second: str) -> str:
    return better("first" if len(first) > len(second) else "second" if len(first) < len(second) else "tie")


def judge(completer: FakeJudge, **settings: object) -> JudgeGrader:
    return JudgeGrader(
        completer=completer,
        **{"language": "en", "domain": "general", "max_tokens": 64, "settings": "of a judge", **settings},  # type: ignore[arg-type]
    )


def test_a_better_answer_wins_in_both_orders() -> None:
    asked = FakeJudge(longer)
    scores = judge(asked).score(ROWS, ["longer", "x", "same"], ["y", "longer", "same"])
    assert scores.items.ids == ("r0", "r1", "r2")
    assert scores.items.numerators == (2.0, -2.0, 0.0)
    assert scores.items.denominators == (2.0, 2.0, 2.0)
    assert [shown(request) for request in asked.asked] == [
        ("longer", "y"),
        ("x", "longer"),
        ("y", "longer"),
        ("longer", "x"),
    ], "equal answers are not shown"
    verdicts = {"judge_wins": 2, "judge_losses": 2, "judge_ties": 2, "judge_first": 2, "judge_second": 2}
    verdicts["judge_equal_answers"] = 2
    assert scores.counts == verdicts | Usage(calls_requested=4, calls_executed=4).counts()


def test_a_judge_that_looks_at_the_place_alone_finds_no_difference() -> None:
    scores = judge(FakeJudge(lambda first, second: better("first"))).score(ROWS, ["a", "b", "c"], ["d", "e", "f"])
    assert scores.items.numerators == (0.0, 0.0, 0.0)
    assert (scores.counts["judge_wins"], scores.counts["judge_losses"]) == (3, 3)


@pytest.mark.parametrize(
    "reply", ["", "The first one.", '{"better": "third"}', '{"better": "first", "why": "x"}', "[]"]
)
def test_what_names_no_winner_is_an_abstention_and_counts_as_a_comparison(reply: str) -> None:
    def sometimes(first: str, second: str) -> str:
        return reply if "doubt" in first + second else longer(first, second)

    scores = judge(FakeJudge(sometimes)).score(ROWS, ["longer", "doubt", "longer"], ["y", "y", "y"])
    assert scores.counts["judge_abstentions"] == 2
    assert abstained_frac(scores.counts) == pytest.approx(2 / 6)
    assert score(scores.items) == pytest.approx(4 / 6)


def test_equal_answers_are_no_replies_of_which_a_share_abstains() -> None:
    scores = judge(FakeJudge(lambda first, second: "Hm.")).score(ROWS, ["a", "same", "same"], ["b", "same", "same"])
    assert abstained_frac(scores.counts) == 1.0
    assert abstained_frac(judge(FakeJudge(longer)).score(ROWS, ["a"] * 3, ["a"] * 3).counts) is None


def test_thinking_and_fences_do_not_hide_a_verdict() -> None:
    said = '<think>The {"better": "second"}?</think>```json\n{"better": "first"}\n```'
    scores = judge(FakeJudge(lambda first, second: said if first == "a" else better("second"))).score(
        ROWS.slice(0, 1), ["a"], ["b"]
    )
    assert scores.items.numerators == (2.0,)


def test_a_fault_is_no_verdict() -> None:
    def fails(first: str, second: str) -> str:
        raise EndpointError("down")

    with pytest.raises(EndpointError):
        judge(FakeJudge(fails)).score(ROWS, ["a", "b", "c"], ["d", "e", "f"])


def test_the_question_and_the_turns_before_it_are_shown_and_the_reference_is_not() -> None:
    asked = FakeJudge(longer)
    turn = [{"role": "user", "content": "Earlier I asked."}]
    row = {"id": "x", "history": turn, "question": "And now?", "answer": "the reference", "origin": "source"}
    judge(asked, domain="medical").score(pa.Table.from_pylist([row], schema=ROWS.schema), ["a"], ["bb"])
    for request in asked.asked:
        text = "\n".join(content for _, content in request.messages)
        assert "Earlier I asked." in text
        assert "And now?" in text
        assert "medical" in text
        assert "the reference" not in text
        assert request.temperature == 0.0
        assert request.json_schema is not None


def test_everything_that_shapes_a_verdict_is_in_the_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    base = judge(FakeJudge(longer))
    others = [
        judge(FakeJudge(longer, revision="judge-2")),
        replace(base, language="zh"),
        replace(base, domain="law"),
        replace(base, max_tokens=65),
    ]
    revisions = {base.revision, *(other.revision for other in others)}
    monkeypatch.setattr("autodp_ray.evaluators.judge.template_texts", lambda name: ("another prompt",))
    assert len(revisions | {base.revision}) == 6


def test_judges_that_declare_no_revision_are_told_apart_by_their_settings() -> None:
    """Else one of several would be given the other's verdicts."""
    undeclared = [judge(FakeJudge(longer, revision=""), settings=settings) for settings in ("a", "b", "a")]
    first, second, again = (one.revision for one in undeclared)
    assert first
    assert first == again != second


class LetterEmbedder:
    """Texts by their letters' counts."""

    revision = "letters-1"

    def embed(self, texts: Sequence[str]) -> pa.FixedSizeListArray:
        counts = np.array([[text.count(letter) for letter in "abcdefgh"] for text in texts], dtype=np.float32)
        unit = counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)
        return pa.FixedSizeListArray.from_arrays(pa.array(unit.reshape(-1)), 8)


def test_likeness_is_the_mean_of_cosine_and_rouge_l() -> None:
    rows = records(["abc def", "aa", "gh"])
    scores = ReferenceGrader(embedder=LetterEmbedder()).score(rows, ["abc def", "aa bb", ""], [])
    cosine, overlap = 1 / np.sqrt(2), 2 * 1 * 0.5 / 1.5
    assert scores.items.numerators == pytest.approx((1.0, (cosine + overlap) / 2, 0.0))
    assert scores.items.denominators == (1.0, 1.0, 1.0)
    assert scores.counts == {}


def test_rouge_l_is_the_librarys_on_words_and_by_characters_where_there_are_no_spaces() -> None:
    plain = rouge_scorer.RougeScorer(["rougeL"])
    pair = "the cat sat on the mat", "a cat lay on that mat"
    assert rouge_l(*pair) == pytest.approx(plain.score(*pair)["rougeL"].fmeasure)
    assert plain.score("每天服用两次", "每天服用一次")["rougeL"].fmeasure == 0.0
    assert rouge_l("每天服用两次", "每天服用一次") == pytest.approx(5 / 6)
    assert rouge_l("", "") == rouge_l("a", "") == 0.0
