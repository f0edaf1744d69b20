"""Plans: what sharing saves, what the cache holds already, and that nothing is run or written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from actors.cache.cache_client import StrategyCacheClient
from actors.cache.store import Origin, StrategyStore
from actors.data.pool_config import PoolConfig
from actors.llm.client import ChatClient
from actors.llm.engines import vllm
from actors.llm.server import start_llm
from actors.models.source import ResolvedModel, resolve_model
from actors.storage.storage import Storage
from autodp_ray.config.run_config import Config, EvaluationConfig
from autodp_ray.evaluators.judge import JudgeEvaluator
from autodp_ray.journal import Journal
from autodp_ray.keys import dataset_key
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.runs import plan
from autodp_ray.runs.plan import Plan, make_plan
from autodp_ray.sampling import search_sample
from autodp_ray.scoring.training_scores import TrainingRecord
from autodp_ray.strategies.processing import Processor
from autodp_ray.strategy import Strategy
from operators.contract.errors import InputError
from operators.contract.resources import Resources
from operators.testing.fakes import FakeScreener
from tests.autodp_ray.run_fakes import (
    FIGURE_5,
    NO_MODELS,
    FakeRecipe,
    WordTokenizer,
    make_config,
    model_folder,
    pair,
    write_jsonl,
)

THREE = {"teams": ["cleaning", "optimization", "generation"]}
SHARING = "cleaning>optimization,cleaning>generation"


@pytest.fixture
def sections(tmp_path: Path) -> dict[str, object]:
    """A config's sections: storage in a folder of its own, and a tuned model that is quick to read."""
    endpoint = {"model": "m", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1", "revision": "r1"}
    models = {"agent": endpoint, "operators": endpoint, "tuned": {"model": str(model_folder(tmp_path))}}
    return {"storage": str(tmp_path / "storage"), "models": models}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "data.jsonl", [*(pair(number) for number in range(40)), "{broken"])


@pytest.fixture
def config(data: Path, sections: dict[str, object]) -> Config:
    return make_config(data, search=THREE, **sections)


def team_runs(plan: Plan) -> tuple[int, int, int]:
    return plan.team_runs_requested, plan.team_runs_executed, plan.team_runs_cached


def test_strategies_with_a_common_beginning_share_its_team_runs(config: Config) -> None:
    plan = make_plan(config, strategies="cleaning>optimization>generation,cleaning>optimization,cleaning>generation")
    assert team_runs(plan) == (7, 4, 0)
    assert [node.strategy for node in plan.nodes] == [
        "cleaning",
        "cleaning>optimization",
        "cleaning>optimization>generation",
        "cleaning>generation",
    ]


def test_the_whole_space_of_three_teams_asks_for_33_team_runs_and_needs_15(config: Config) -> None:
    assert team_runs(make_plan(config, all_strategies=True)) == (33, 15, 0)


def test_the_whole_space_of_four_teams_asks_for_196_team_runs_and_needs_64(
    data: Path, sections: dict[str, object]
) -> None:
    config = make_config(data, **sections)
    plan = make_plan(config, all_strategies=True)
    assert team_runs(plan) == (196, 64, 0)
    assert len(plan.strategies) == 64


def test_the_papers_example_asks_for_15_team_runs_and_needs_6(data: Path, sections: dict[str, object]) -> None:
    config = make_config(data, **sections)
    assert team_runs(make_plan(config, strategies=FIGURE_5)) == (15, 6, 0)


def test_what_an_earlier_run_left_in_the_cache_is_found_and_what_it_did_not_is_not(
    config: Config, tmp_path: Path
) -> None:
    run = Storage.at(tmp_path / "run")
    prepared = prepare(config, run=run, journal=Journal(run), progress=Silent(), models=NO_MODELS)
    chat = config.models.operators
    resources = Resources(
        completer=ChatClient(start_llm(chat), chat),
        tokenizer=WordTokenizer(resolve_model(str(model_folder(tmp_path))).revision),
        language="en",
    )
    processor = Processor(
        run_id="earlier",
        teams=config.teams,
        resources=resources,
        cache=StrategyCacheClient(Storage.at(tmp_path / "storage" / "cache"), holder="earlier"),
        journal=Journal(run),
        pool=PoolConfig(),
        apply_recipe=FakeRecipe(),
    )
    processor.process(prepared.sample, Strategy.parse("cleaning>optimization"))
    plan = make_plan(config, strategies="cleaning>optimization>generation,optimization")
    assert team_runs(plan) == (4, 4, 2)
    assert [node.strategy for node in plan.nodes if node.cached] == ["cleaning", "cleaning>optimization"]
    assert "cleaning>optimization (cached)" in plan.text()
    for changed in ({"model": "another"}, {"revision": "r2"}, {"revision": None}):
        models = config.models.model_copy(update={"operators": chat.model_copy(update=changed)})
        plan = make_plan(config.model_copy(update={"models": models}), strategies="cleaning>optimization")
        assert [node.strategy for node in plan.nodes if node.cached] == ["cleaning"], changed


@pytest.mark.parametrize(("model", "known"), [("no-such-org/none@abc", True), ("no-such-org/none", False)])
def test_a_plan_downloads_no_model_of_vllm(
    data: Path, sections: dict[str, object], monkeypatch: pytest.MonkeyPatch, model: str, known: bool
) -> None:
    def resolved(source: str) -> ResolvedModel:
        raise AssertionError(f"{source} is looked up")

    monkeypatch.setattr(vllm, "resolve_model", resolved)
    models = sections["models"]
    assert isinstance(models, dict)
    sections["models"] = {**models, "operators": {"model": model, "engine": "vllm"}}
    config = make_config(data, search=THREE, **sections)
    assert team_runs(make_plan(config, strategies="optimization")) == (1, 1, 0)
    assert (config.models.operators.expected_revision() is not None) == known


def test_team_runs_on_targets_and_on_all_rows_are_cached_apart(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan, search_sample):
        monkeypatch.setattr(module, "in_process_screener", lambda section, cache: FakeScreener())
    run = Storage.at(tmp_path / "run")
    models = replace(NO_MODELS, screener=FakeScreener())
    sample = prepare(config, run=run, journal=Journal(run), progress=Silent(), models=models).sample
    tokenizer = WordTokenizer(resolve_model(str(model_folder(tmp_path))).revision)
    cleaning, cache = config.teams.recipe("cleaning"), StrategyStore(Storage.at(tmp_path / "storage" / "cache"))
    for screener in (FakeScreener(), None):
        switch = config.screener.model_copy(update={"pts": screener is not None})
        switched = config.model_copy(update={"screener": switch})
        assert make_plan(switched, strategies="cleaning").team_runs_cached == 0
        resources = Resources(tokenizer=tokenizer, screener=screener)
        work = cache.workspace()
        FakeRecipe()(sample, cleaning, resources=resources, out=work, pool=PoolConfig())
        key = dataset_key(sample.content_hash, [cleaning], resources, run_id="earlier")
        cache.commit(key, work, Origin(run_id="earlier", strategy="cleaning", seconds=1.0))
        assert make_plan(switched, strategies="cleaning").team_runs_cached == 1


def test_trainings_are_bounded_by_the_rounds_unless_strategies_are_given(config: Config) -> None:
    whole = make_plan(config)
    assert whole.trainings_at_most == 3 + 15 + 6
    assert "which the search chooses" not in whole.text()
    short = make_plan(config.model_copy(update={"search": config.search.model_copy(update={"max_rounds": 1})}))
    assert short == whole.model_copy(update={"trainings_at_most": 3 + 6 + 6, "strategies_tried_at_most": 6})
    assert "the search tries at most 6 of these 15 strategies" in short.text()
    assert make_plan(config, strategies="cleaning,cleaning,generation").trainings_at_most == 3 + 2 + 6


def test_model_calls_are_those_of_operators_that_ask_one(config: Config) -> None:
    plan = make_plan(config, strategies="cleaning,optimization")
    assert plan.llm_calls_at_most == plan.rows["sample"] == 11
    assert plan.llm_tokens_estimate > 11 * 250
    assert make_plan(config, strategies="cleaning").llm_calls_at_most == 0


def test_a_judge_is_shown_every_pair_of_answers_twice(config: Config) -> None:
    judged = config.model_copy(
        update={"evaluation": EvaluationConfig(evaluator=JudgeEvaluator(), max_answer_tokens=100)}
    )
    plan = make_plan(judged, strategies="cleaning")
    pairs = (2 + 1) * plan.rows["validation"] + 5 * plan.rows["test"]
    assert plan.llm_calls_at_most == 2 * pairs == 116
    assert plan.llm_tokens_estimate == 116 * (250 + 200)


def test_rows_are_those_that_a_run_would_have(config: Config) -> None:
    assert make_plan(config, strategies="cleaning").rows == {
        "in": 41,
        "quarantined": 1,
        "train": 22,
        "sample": 11,
        "guide": 4,
        "validation": 6,
        "test": 8,
        "set_aside": 0,
    }


def test_a_plan_says_how_many_near_duplicates_of_held_out_rows_are_set_aside(config: Config, data: Path) -> None:
    lines = data.read_text("utf-8").splitlines()
    data.write_text("\n".join([*lines, *(line.replace("?", " ?") for line in lines[:40])]) + "\n", "utf-8")
    plan = make_plan(config, strategies="cleaning")
    assert plan.rows["set_aside"] == 18
    assert plan.rows["in"] == sum(plan.rows.values()) - plan.rows["in"] - plan.rows["sample"]
    assert "set aside 18" in plan.text()


def test_time_is_unknown_before_the_first_training_and_estimated_after_it(config: Config, tmp_path: Path) -> None:
    unknown = make_plan(config, strategies="cleaning")
    assert unknown.seconds_estimate is None
    assert "time: unknown until a run in this storage has measured it" in unknown.text()
    record = TrainingRecord(
        run_id="r",
        ids=("a",),
        numerators=(-1.0,),
        denominators=(1.0,),
        num_rows=1,
        num_steps=1,
        left_out={},
        num_truncated=0,
        seconds={"train": 5.0, "evaluate": 2.0},
    )
    StrategyStore(Storage.at(tmp_path / "storage" / "cache")).record_score("k", record.model_dump_json())
    assert make_plan(config, strategies="cleaning").seconds_estimate == 7.0 * (3 + 1 + 6)


def test_a_record_of_another_version_in_the_cache_tells_nothing_and_stops_no_plan(
    config: Config, tmp_path: Path
) -> None:
    StrategyStore(Storage.at(tmp_path / "storage" / "cache")).record_score("k", '{"of": "another version"}')
    assert make_plan(config, strategies="cleaning").seconds_estimate is None


def test_a_plan_runs_and_writes_nothing(config: Config, tmp_path: Path) -> None:
    make_plan(config, all_strategies=True)
    assert not (tmp_path / "storage").exists()


def test_the_text_draws_the_shared_beginnings_as_a_tree(config: Config) -> None:
    text = make_plan(config, strategies=SHARING).text()
    assert [line.strip("├└─│ ") for line in text.splitlines()[:4]] == [
        "none (the sample as it is)",
        "cleaning",
        "cleaning>optimization",
        "cleaning>generation",
    ]
    assert "team runs: 4 requested, 3 after sharing, 0 of them cached" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"strategies": "cleaning", "all_strategies": True}, "give --strategies or --all, not both"),
        ({"strategies": "claening"}, "unknown team 'claening', did you mean 'cleaning'"),
        ({"strategies": "selection"}, "team 'selection' is switched off"),
        ({"strategies": " , "}, "no strategy given"),
    ],
)
def test_wrong_strategies_are_bad_input(config: Config, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_plan(config, **arguments)  # type: ignore[arg-type]


def test_a_model_that_is_not_there_is_named(data: Path, sections: dict[str, object]) -> None:
    models = sections["models"]
    assert isinstance(models, dict)
    config = make_config(data, **{**sections, "models": {**models, "tuned": {"model": "/no/such/model"}}})
    with pytest.raises(InputError, match="/no/such/model"):
        make_plan(config, strategies="cleaning")
