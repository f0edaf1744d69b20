"""Whole comparisons with stand-ins for Ray's part: equal terms, equal results, and who beats whom."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from autodp_ray.cli.main import app
from autodp_ray.comparing.comparison import Comparison
from autodp_ray.comparing.finals import FINAL_SEED_OFFSET
from autodp_ray.comparing.page import comparison_page
from autodp_ray.comparing.table import comparison_table
from autodp_ray.result import RowCounts, RunResult
from autodp_ray.runs.open_run import RunOptions, open_run
from operators.contract.errors import InputError, RunError
from tests.autodp_ray.comparing.comparing_fakes import Lab, timeless


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def test_every_policy_searches_and_its_winner_meets_ours_and_no_processing(lab: Lab) -> None:
    found = lab.compare()
    assert found.arms == ("all", "random", "surrogate")
    assert found.ours == "surrogate"
    assert [(duel.ours, duel.theirs) for duel in found.duels] == [
        ("surrogate", "none"),
        ("surrogate", "all"),
        ("surrogate", "random"),
    ]
    assert [duel.ours for duel in found.gains] == ["all", "random", "surrogate"]
    (all_teams,) = found.searches_of("all")
    assert all_teams.winner == "cleaning>optimization>generation>selection", "its one candidate, whatever its score"
    (best,) = found.searches_of("surrogate")
    assert best.winner == "cleaning", "the shortest within one standard error of the best"
    against_none, against_all, _ = found.duels
    assert (against_none.wins, against_none.losses) == (1.0, 0.0)
    assert against_none.difference == pytest.approx(0.5, abs=0.01)
    assert against_all.difference == pytest.approx(0.5 - (0.5 - 0.2 + 0.1 - 0.3), abs=0.01)
    assert against_none.ci95[0] > 0


def test_no_search_takes_more_trainings_than_the_others(lab: Lab) -> None:
    found = lab.compare(overrides=("budget.trainings=3",), policies="random,surrogate,neighbours")
    assert {each.arm: len(each.tried) for each in found.searches} == dict.fromkeys(found.arms, 3)
    assert {each.stop_reason for each in found.searches} == {"budget"}


def test_second_trainings_of_the_leaders_come_out_of_the_same_budget(lab: Lab) -> None:
    found = lab.compare(
        overrides=("budget.trainings=5", "search.race_leaders=2"), policies="random,surrogate,neighbours"
    )
    assert {each.arm: len(each.tried) for each in found.searches} == dict.fromkeys(found.arms, 5)
    assert all([one.source for one in each.tried][-2:] == ["race", "race"] for each in found.searches)


def test_leaders_race_within_the_budget_however_many_there_may_be(lab: Lab) -> None:
    found = lab.compare(
        overrides=("budget.trainings=6", "search.race_leaders=9", "search.max_rounds=3"), policies="random,surrogate"
    )
    for each in found.searches:
        assert [one.source == "race" for one in each.tried] == [False] * 3 + [True] * 3
        assert (each.num_scored, each.rounds) == (3, 2), "a race is neither another strategy nor another round"
    assert f"| random | 2 | 3 | {found.searches[0].winner} |" in comparison_table(found)


def test_one_leader_has_nobody_to_race_and_takes_no_training_from_the_search(lab: Lab) -> None:
    found = lab.compare(overrides=("budget.trainings=4", "search.race_leaders=1"), policies="random,surrogate")
    assert {each.num_scored for each in found.searches} == {4}


def test_final_models_are_trained_on_the_whole_train_split_with_fresh_seeds(lab: Lab) -> None:
    found = lab.compare()
    finals = [job for job in lab.trainer.jobs if job.seed >= FINAL_SEED_OFFSET]
    winners = {"none", *(each.winner for each in found.searches)}
    assert len(finals) == 2 * len(winners) + 2, "two seeds each, and two more of no processing against itself"
    assert found.rows["train"] > found.rows["sample"]


def test_what_is_found_on_test_rows_counts_among_the_claims_that_were_tried_on_them(lab: Lab) -> None:
    for _ in range(2):  # the same comparison again tries nothing new
        found = lab.compare(models="./model,./model2", fresh=True)
    (claims,) = Path(".autodp/cache/test_reads").iterdir()
    winners = {each.winner for each in found.searches} - {"none"}
    assert len(list(claims.iterdir())) == len(winners) * 2


def test_no_processing_against_itself_is_within_its_interval_of_zero(lab: Lab) -> None:
    (check,) = lab.compare().self_checks
    assert check.ci95[0] <= 0 <= check.ci95[1]


def test_equal_winners_tie_on_every_item_and_share_their_models(lab: Lab) -> None:
    found = lab.compare(policies="exhaustive,surrogate", overrides=("search.teams=[cleaning]",))
    (duel,) = [each for each in found.duels if each.theirs == "exhaustive"]
    assert (duel.wins, duel.ties, duel.losses) == (0.0, 1.0, 0.0)
    assert (duel.difference, duel.ci95, duel.sign_test_p) == (0.0, (0.0, 0.0), 1.0)
    assert f"| surrogate vs. exhaustive | {duel.model} | 0.0000 | 1.0000 | 0.0000 | 0, same strategy |" in (
        comparison_table(found)
    )
    assert sum(job.seed >= FINAL_SEED_OFFSET for job in lab.trainer.jobs) == 2 * 2 + 2


def test_repeats_search_with_other_seeds_and_are_told_one_by_one(lab: Lab) -> None:
    found = lab.compare(policies="random,surrogate", seeds=3)
    searches = found.searches_of("random")
    assert [each.seed for each in searches] == [0, 1, 2]
    assert len({tuple(one.strategy for one in each.tried) for each in searches}) > 1
    (duel,) = [each for each in found.duels if each.theirs == "random"]
    assert [(each.seed, each.theirs) for each in duel.repeats] == [(each.seed, each.winner) for each in searches]
    assert "Each policy searched 3 times" in comparison_table(found)


def test_repeats_with_the_same_winner_make_no_interval_narrower(lab: Lab) -> None:
    once, often = (lab.compare(f"out{seeds}", policies="surrogate", seeds=seeds) for seeds in (1, 4))
    assert {each.winner for each in often.searches} == {"cleaning"}
    assert often.gains[0].ci95 == pytest.approx(once.gains[0].ci95)


def test_numbers_of_strategies_are_swept_for_ours_alone(lab: Lab) -> None:
    found = lab.compare(policies="random,surrogate", num_strategies="2,3")
    assert "<h1>surrogate against random</h1>" in comparison_page(found)
    assert found.arms == ("random", "surrogate", "surrogate, K = 3")
    assert [each.theirs for each in found.duels] == ["none", "random"]
    assert [each.ours for each in found.gains] == list(found.arms)


def test_the_same_command_again_trains_nothing_and_says_the_same(lab: Lab) -> None:
    first = lab.compare()
    num_trained = len(lab.trainer.jobs)
    assert lab.compare() == first
    assert timeless(lab.compare("elsewhere")) == timeless(first)
    assert len(lab.trainer.jobs) == num_trained, "all is in the cache"


@pytest.mark.parametrize("num_trainings", [1, 9])
def test_a_comparison_that_broke_off_ends_as_the_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_trainings: int
) -> None:
    for name in ("broken", "whole"):
        (tmp_path / name).mkdir()
    broken = Lab(tmp_path / "broken", monkeypatch)
    broken.trainer.interrupted_at = num_trainings
    with pytest.raises(KeyboardInterrupt):
        broken.compare()
    assert not Path("out/compare.json").exists()
    broken.trainer.interrupted_at = None
    resumed = broken.compare()
    num_trained = len(broken.trainer.jobs)
    whole = Lab(tmp_path / "whole", monkeypatch)
    unbroken = whole.compare()
    assert num_trained == len(whole.trainer.jobs), "nothing was trained twice"
    assert timeless(resumed) == timeless(unbroken)


def test_the_folder_is_neither_another_comparisons_nor_a_runs(lab: Lab) -> None:
    lab.compare()
    with pytest.raises(InputError, match=r"comparison.*differ"):
        lab.compare(seeds=2)
    assert len(lab.compare(seeds=2, fresh=True).searches_of("random")) == 2


@pytest.mark.parametrize(
    "command", [["run", "--resume"], ["explain"], ["apply"], ["tune", "--model", "./model"], ["report"]]
)
def test_a_comparison_is_not_taken_for_a_run_that_could_be_resumed(lab: Lab, command: list[str]) -> None:
    lab.trainer.interrupted_at = 0
    with pytest.raises(KeyboardInterrupt):
        lab.compare("runs/compared")
    done = CliRunner().invoke(app, [*command, "runs/compared"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "holds a comparison, not a run: the same autodp compare command goes on" in done.stderr
    done = CliRunner().invoke(app, ["run", "quick.yaml", "--run-dir", "runs/compared"])
    assert "holds a comparison already; choose another folder" in done.stderr
    listed = json.loads(CliRunner().invoke(app, ["report", "--all", "runs", "--json"]).stdout)["runs"]
    assert "the same autodp compare command goes on" in listed[0]["note"]


def test_a_run_is_not_compared_in(lab: Lab) -> None:
    run = open_run(RunOptions(config_path="quick.yaml", run_dir="out"))
    run.finished_result()
    with pytest.raises(InputError, match="out holds a run already; choose another folder"):
        lab.compare()


def test_a_judge_whose_file_was_changed_is_another_one(lab: Lab) -> None:
    file = Path("judge.yaml")
    file.write_text("{model: one, engine: endpoint, base_url: 'http://127.0.0.1:8/v1'}")
    lab.trainer.interrupted_at = 0
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            lab.compare(judges="judge.yaml")
    file.write_text(file.read_text().replace("one", "two"))
    with pytest.raises(InputError, match=r"comparison\.files\.judge\.yaml\.model differ"):
        lab.compare(judges="judge.yaml")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"judges": "judge.yaml"}, "sends rows to 'judge.example.org', which is outside the cluster"),
        ({"models": "./model,./nowhere"}, "nowhere"),
    ],
)
def test_what_only_final_models_need_is_asked_for_before_the_searches(
    lab: Lab, asked: dict[str, Any], said: str
) -> None:
    Path("judge.yaml").write_text("{model: one, engine: endpoint, base_url: 'https://judge.example.org/v1'}")
    with pytest.raises(InputError, match=said):
        lab.compare(**asked)
    assert lab.trainer.jobs == []


def test_a_search_among_strategies_that_all_harm_chooses_no_processing(lab: Lab) -> None:
    found = lab.compare(policies="all,random,surrogate", overrides=("search.teams=[optimization]",))
    assert {each.arm: each.winner for each in found.searches} == {
        "all": "optimization",
        "random": "none",
        "surrogate": "none",
    }
    assert [duel.is_of_same_strategies for duel in found.duels] == [True, False, True]


def test_a_policy_whose_strategies_all_fail_is_named_with_the_way_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        lab.trainer, "_loss", lambda table, seed: math.nan if "strip" in str(table["answer"].to_pylist()) else 1.0
    )
    with pytest.raises(
        RunError, match=r"policy all failed; .*the training diverged.*--policies without it, with --fresh"
    ):
        lab.compare(overrides=("search.teams=[cleaning]",))


def test_a_final_training_that_fails_is_told_with_what_it_is_trained_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab.trainer, "_loss", lambda table, seed: math.nan if seed >= FINAL_SEED_OFFSET else 1.0)
    with pytest.raises(
        RunError, match=r"^\./model on the train split processed by none, seed 2\d{3}: the training diverged"
    ):
        lab.compare()


def test_json_and_table_hold_what_was_found(lab: Lab) -> None:
    found = lab.compare()
    assert Comparison.model_validate(json.loads(Path("out/compare.json").read_text())) == found
    page = Path("out/compare.html").read_text()
    assert page.count("<polyline") == len(found.arms)
    assert "<h1>surrogate against all, random</h1>" in page
    assert "<h1>random against no processing</h1>" in comparison_page(lab.compare("alone", policies="random"))
    assert "<script" not in page
    table = Path("out/compare.md").read_text()
    assert "one search of each policy" in page
    assert "| surrogate vs. no processing |" in table
    assert "| all | 1 | 1 | cleaning>optimization>generation>selection |" in table
    assert "autodp compare quick.yaml --policies all,random,surrogate --final-seeds 2" in table


def test_report_makes_page_and_table_anew_from_the_json(lab: Lab) -> None:
    lab.compare()
    folder = Path("out")
    made = {name: (folder / name).read_text() for name in ("compare.html", "compare.md")}
    for name in made:
        (folder / name).write_text("old")
    done = CliRunner().invoke(app, ["report", "out"])
    assert (done.exit_code, done.stdout) == (0, f"wrote {folder.resolve()}/compare.html\n")
    assert {name: (folder / name).read_text() for name in made} == made


@pytest.mark.parametrize("text", [b"", b"{}", b"[1", b"\xff\xfe"])
def test_a_comparison_that_cannot_be_read_is_told_in_one_line(lab: Lab, text: bytes) -> None:
    lab.compare()
    Path("out/compare.json").write_bytes(text)
    with pytest.raises(InputError, match=r"compare\.json is damaged"):
        lab.compare()
    done = CliRunner().invoke(app, ["report", "out"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "compare.json is damaged" in done.stderr


@pytest.mark.parametrize("field", ["searches", "gains"])
def test_a_comparison_of_nothing_is_damaged_too(field: str) -> None:
    made = json.loads((Path(__file__).parents[3] / "docs" / "results" / "compare.json").read_text())
    without = {"searches": [], "gains": [{**made["gains"][0], "repeats": []}]}
    with pytest.raises(ValidationError):
        Comparison.model_validate({**made, field: without[field]})


def test_the_comparison_in_the_documentation_is_what_this_version_makes_of_its_json() -> None:
    folder = Path(__file__).parents[3] / "docs" / "results"
    found = Comparison.model_validate_json((folder / "compare.json").read_text())
    assert (folder / "compare.html").read_text() == comparison_page(found), "autodp report docs/results"
    assert (folder / "compare.md").read_text() == comparison_table(found), "autodp report docs/results"


@pytest.mark.parametrize(("num_out", "has_held_out"), [(30, False), (48, True)])
def test_what_was_made_of_held_out_rows_too_is_refused(lab: Lab, num_out: int, has_held_out: bool) -> None:
    processed = Path("runs/mine/processed/data.jsonl")
    processed.parent.mkdir(parents=True)
    processed.write_bytes(Path("data.jsonl").read_bytes())
    (processed.parents[1] / "config.json").write_text("{}")
    rows = RowCounts(train=40, out=num_out, generated=2, dropped={"repeated": 12})
    (processed.parents[1] / "result.json").write_text(RunResult(status="done", rows=rows).to_json())
    asked: dict[str, Any] = {"overrides": (f"dataset.path={processed}",), "policies": "random"}
    if has_held_out:
        with pytest.raises(InputError, match="--all"):
            lab.compare(**asked)
    else:
        assert lab.compare(**asked).arms == ("random",)
