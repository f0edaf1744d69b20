"""The ablation: what is due by arithmetic, what is read off a run's journal, how modes compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage.storage import Storage
from autodp_ray.config.run_config import EvaluationConfig, load_config
from autodp_ray.config.teams_config import TeamsConfig
from autodp_ray.journal import Journal
from autodp_ray.progress import Silent
from autodp_ray.result import RoundResult, RunResult, Seconds, StrategyResult
from autodp_ray.search.loop import search
from autodp_ray.search.policies.given import GivenPolicy
from autodp_ray.strategies.spending import count_spending
from autodp_ray.strategies.strategy_evaluation import StrategyEvaluator
from autodp_ray.strategy import parse_rounds
from benchmarks.ablation import CONFIG, ROUNDS, SMOKE, Mode, modes
from benchmarks.ablation_figures import (
    Measured,
    best_gap,
    compared,
    due_counts,
    rank_correlation,
    saved,
    search_trainings,
)
from benchmarks.ablation_table import modes_table
from benchmarks.gates import judge, load_bars
from tests.autodp_ray.run_fakes import FakeRecipe, FakeTraining, make_processor, make_scorer, stored

STRATEGIES = [strategy for each in parse_rounds(ROUNDS) for strategy in each]


def measured(folder: Path, *, search_s: float, team_runs: int, trainings: int, llm_calls: int) -> Measured:
    """A run that executed so much, a third of its trainings for the claim."""
    journal = Journal(Storage.at(folder))
    for number in range(team_runs):
        body = {"strategy": "cleaning>optimization", "executed": True, "seconds": 2.0, "counts": {}}
        journal.append("team_run", body, key=str(number))
    journal.append("team_run", {"strategy": "cleaning", "executed": False, "seconds": 9.0, "counts": {}}, key="found")
    for number in range(trainings + 6):
        seed = 0 if number < trainings else 1000
        record = {"seconds": {"train": 3.0, "evaluate": 1.0}}
        journal.append("training", {"seed": seed, "executed": True, "record": record}, key=f"t{number}")
    scored = [
        StrategyResult(strategy=str(one), score=len(one) / 100, source="given", status="scored")
        for one in dict.fromkeys(STRATEGIES)
    ]
    result = RunResult(
        status="done",
        best_measured="cleaning",
        best_score=0.1,
        noise_floor=0.01,
        rounds=(RoundResult(number=1, strategies=tuple(scored)),),
        team_runs_requested=45,
        team_runs_executed=team_runs,
        llm_calls_executed=llm_calls,
        seconds=Seconds(search=search_s, phases={"baseline": 10.0}),
    )
    return Measured(result=result, journal=journal)


def all_modes(folder: Path, *, shared_team_runs: int = 16) -> dict[str, Measured]:
    return {
        "none": measured(folder / "none", search_s=990, team_runs=45, trainings=19, llm_calls=900),
        "dps": measured(folder / "dps", search_s=240, team_runs=45, trainings=19, llm_calls=180),
        "pts": measured(folder / "pts", search_s=140, team_runs=45, trainings=19, llm_calls=120),
        "cache": measured(folder / "cache", search_s=90, team_runs=16, trainings=17, llm_calls=60),
        "rows": measured(folder / "rows", search_s=40, team_runs=shared_team_runs, trainings=17, llm_calls=40),
    }


def test_the_first_two_rounds_are_the_papers_and_all_five_have_their_counts() -> None:
    first_two = [strategy for each in parse_rounds(ROUNDS)[:2] for strategy in each]
    found = due_counts(first_two)
    assert (found["team_runs_alone"], found["team_runs_shared"]) == (15, 6)
    assert len(parse_rounds(ROUNDS)) == 5
    assert due_counts(STRATEGIES) == {
        "team_runs_alone": 45,
        "team_runs_shared": 16,
        "trainings_alone": 3 + 16,
        "trainings_shared": 3 + 14,
    }


@pytest.mark.parametrize("mode", modes(Path("s")), ids=lambda mode: mode.name)
def test_a_smoke_run_of_every_mode_has_a_config_of_equal_epochs(mode: Mode) -> None:
    config = load_config(str(CONFIG), [*SMOKE, *mode.settings])
    assert (config.training.budget, config.dataset.limit) == ("epochs", 44)


def test_each_mode_has_what_the_one_before_it_has() -> None:
    found = [load_config(str(CONFIG), mode.settings) for mode in modes(Path("s"))]
    assert [config.sampling.rate for config in found] == [1.0, 0.2, 0.2, 0.2, 0.2]
    assert [(config.cache.prefixes, config.cache.rows) for config in found] == [
        (False, False),
        (False, False),
        (False, False),
        (True, False),
        (True, True),
    ]
    screened = [(config.screener.folder, config.screener.pts) for config in found]
    assert screened == [(None, True), ("s", False), ("s", True), ("s", True), ("s", True)]


def test_the_gates_hold_where_the_counts_are_due_and_not_one_beside(tmp_path: Path) -> None:
    specs = load_bars()["ablation"]
    figures = compared(all_modes(tmp_path / "right"), STRATEGIES)
    assert all(gate.ok for gate in judge(specs, figures, smoke=False))
    wrong = compared(all_modes(tmp_path / "wrong", shared_team_runs=17), STRATEGIES)
    missed = [gate.name for gate in judge(specs, wrong, smoke=False) if not gate.ok]
    assert missed == ["team runs with every prefix cached"]


@pytest.mark.parametrize(("shares", "team_runs", "trainings"), [(False, 45, 19), (True, 16, 17)])
def test_the_search_executes_what_is_due(tmp_path: Path, shares: bool, team_runs: int, trainings: int) -> None:
    root = Storage.at(tmp_path)
    journal, recipe = Journal(root.folder("run")), FakeRecipe()
    teams = TeamsConfig.model_validate({"selection": [{"name": "deduplicate"}]})
    evaluator = StrategyEvaluator(
        sample=stored(root.folder("sample"), ["a", "b"]),
        validation=stored(root.folder("validation"), ["v1", "v2"]),
        processor=make_processor(root, recipe, teams=teams, journal=journal),
        scorer=make_scorer(root, FakeTraining(lambda table, seed: 1.0), journal=journal),
        config=EvaluationConfig(bootstrap_samples=100),
        progress=Silent(),
        shares=shares,
    )
    search(
        GivenPolicy(rounds=parse_rounds(ROUNDS)),
        evaluate=evaluator.evaluate,
        baseline=evaluator.baseline(),
        rules=(),
        on_round=lambda done: None,
    )
    assert len(recipe.ran) == count_spending(journal).team_runs_executed == team_runs
    assert search_trainings(journal) == trainings
    assert evaluator.requested.team_runs == due_counts(STRATEGIES)["team_runs_alone"]


def test_time_is_told_by_team_and_phase_of_what_was_executed(tmp_path: Path) -> None:
    figures = measured(tmp_path, search_s=5, team_runs=2, trainings=3, llm_calls=0).figures()
    assert figures["work_s"] == {"optimization": 4.0, "training:evaluate": 9.0, "training:train": 27.0}
    assert (figures["search_s"], figures["search_trainings_executed"]) == (15, 3)


def test_shares_of_the_time_saved_add_up() -> None:
    found = saved({"none": 100.0, "dps": 25.0, "rows": 5.0})
    assert {name: round(one["frac"], 6) for name, one in found.items()} == {"none": 0.0, "dps": 0.75, "rows": 0.95}
    assert sum(one["own_frac"] for one in found.values()) == pytest.approx(0.95)
    assert found["rows"]["own_frac"] == pytest.approx(0.2)


def test_the_fast_best_is_judged_by_the_full_scores() -> None:
    full = {"cleaning": 0.3, "optimization": 0.25}
    assert best_gap(full, {"cleaning": 0.1, "optimization": 0.2}) == pytest.approx(0.05)
    assert best_gap(full, {"cleaning": 0.2, "optimization": 0.1}) == 0
    assert best_gap(full, {"generation": 0.2}) is None


def test_rank_correlation_takes_the_strategies_that_both_scored() -> None:
    full = {"a": 1.0, "b": 2.0, "c": 3.0, "only": 9.0}
    found = rank_correlation(full, {"a": 0.1, "b": 0.3, "c": 0.2})
    assert found["num_strategies"] == 3
    assert found["spearman"] == pytest.approx(0.5)
    assert found["kendall"] == pytest.approx(1 / 3)
    assert rank_correlation(full, {"a": 0.1, "b": 0.1, "c": 0.1})["spearman"] is None


def test_the_table_has_a_line_for_each_mode(tmp_path: Path) -> None:
    lines = modes_table(compared(all_modes(tmp_path), STRATEGIES)).splitlines()
    assert len(lines) == 2 + 5
    assert lines[2].startswith("| without any | 1,000 | 0.0% | 0.0% | 45 of 45 |")
    assert lines[6].startswith("| + row-level reuse | 50 | 95.0% | 5.0% | 16 of 45 |")
