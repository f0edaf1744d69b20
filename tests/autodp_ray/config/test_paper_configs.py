"""The shipped configs of the paper's datasets: its figures, sixteen GPUs, and trainings that fit on them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from actors.llm.engines.base import ServedLLM
from actors.models.shape import ModelShape, shape_of
from actors.training.memory import GIB, memory_table, require_fit
from actors.training.recipe import TrainingRecipe
from autodp_ray.cluster.resource_plan import resource_plan
from autodp_ray.comparing.options import CompareOptions, comparison_plan
from autodp_ray.config.run_config import Config, load_config
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.reader import read_records
from autodp_ray.strategy import PAPER_TEAMS
from benchmarks.paper_hours import Assumed, hours_of, table
from operators.generate_missing import GenerateAnswer
from tests.actors.model_facts import GEMMA_9B, LLAMA_8B, QWEN_1_5B, QWEN_7B

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "configs" / "paper").glob("*.yaml"))
JUDGES = ROOT / "examples" / "judges"
NUM_GPUS = 16
FINAL_MODELS = {"Qwen2.5-7B-Instruct": QWEN_7B, "Llama-3.1-8B-Instruct": LLAMA_8B, "Gemma-2-9B-it": GEMMA_9B}


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def config(request: pytest.FixtureRequest) -> Config:
    return load_config(str(request.param))


def test_there_is_one_for_each_dataset_of_the_paper() -> None:
    assert sorted(file.stem for file in FILES) == [
        "chinese-medical-dialogue",
        "cmedqa2",
        "disc-law-sft",
        "huatuo-lite",
        "huatuo-lite-100",
        "medical-o1",
    ]


def test_the_settings_are_the_papers(config: Config) -> None:
    assert config.models.tuned.model == "Qwen/Qwen2.5-1.5B-Instruct"
    assert (config.models.agent.model, config.models.agent.temperature) == ("Qwen/Qwen3-32B", 0.6)
    assert (config.search.num_strategies, config.search.max_rounds, set(config.search.teams)) == (
        4,
        5,
        set(PAPER_TEAMS),
    )
    assert config.tune is not None
    for recipe in (config.training, config.tune):
        assert (recipe.method, recipe.learning_rate, recipe.batch_size) == ("full", 1e-5, 64)
        assert (recipe.budget, recipe.epochs) == ("epochs", 3)
    if config.dataset.limit is not None:
        held_out = config.splits.guide + config.splits.validation + config.splits.test
        assert (config.dataset.limit - held_out, config.splits.test, config.sampling.rate) == (20_000, 500, 0.2)


def test_the_papers_evaluation_rows_are_halved(config: Config) -> None:
    assert (config.splits.validation, config.splits.test) == (500, 500)


MADE_ROWS: dict[str, tuple[str, Mapping[str, object]]] = {
    "chinese-medical-dialogue": ("csv", {"department": "内科", "title": "头痛", "ask": "Q", "answer": "A"}),
    "cmedqa2": ("jsonl", {"question_id": 1, "ans_id": 2, "question": "Q", "answer": "A"}),
    "disc-law-sft": ("jsonl", {"id": "judgement_predit-1", "input": "Q", "output": "A"}),
    "huatuo-lite": (
        "jsonl",
        {"id": 1, "answer": "A", "score": 5, "label": "内科", "question": "Q", "related_diseases": "感冒"},
    ),
    "medical-o1": ("json", {"Question": "Q", "Complex_CoT": "先想一想", "Response": "A"}),
}
MADE_ROWS["huatuo-lite-100"] = MADE_ROWS["huatuo-lite"]
"""Rows as each dataset spells them, made up."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_config_reads_rows_as_its_dataset_spells_them(file: Path, tmp_path: Path) -> None:
    form, row = MADE_ROWS[file.stem]
    texts = [
        {key: f"{value}{number}" if value in ("Q", "A") else value for key, value in row.items()} for number in range(3)
    ]
    if "id" in row:
        texts = [{**each, "id": f"{row['id']}-{number}"} for number, each in enumerate(texts)]
    path = tmp_path / f"data.{form}"
    with path.open("w", encoding="utf-8", newline="") as out:
        if form == "csv":
            writer = csv.DictWriter(out, list(row))
            writer.writeheader()
            writer.writerows(texts)
        elif form == "json":
            json.dump(texts, out, ensure_ascii=False)
        else:
            out.writelines(json.dumps(each, ensure_ascii=False) + "\n" for each in texts)
    dataset = load_config(str(file), [f"dataset.path={path}"]).dataset
    bad: list[BadRow] = []
    (read,) = read_records(dataset, on_quarantine=bad.append)
    assert bad == []
    assert read["question"].to_pylist() == ["Q0", "Q1", "Q2"]
    assert read["answer"].to_pylist() == ["A0", "A1", "A2"]


@pytest.mark.parametrize("file", sorted(JUDGES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_judges_of_the_paper_are_files_that_a_comparison_takes(file: Path, config: Config) -> None:
    options = CompareOptions(config_path="c.yaml", judges=str(file), policies="random,agent")
    (judge,) = comparison_plan(config, options).judges
    assert judge.config.models.judge is not None
    assert judge.config.evaluation.evaluator.name == "judge"


def test_the_page_shows_the_hours_as_the_command_counts_them() -> None:
    assert table(Assumed()) in (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")


def test_hours_grow_with_the_tokens_of_a_row_and_shrink_with_speed(config: Config) -> None:
    hours = hours_of(config, Assumed())
    assert hours_of(config, Assumed(row_tokens=1024)).total == pytest.approx(2 * hours.total)
    assert hours_of(config, Assumed(reply_frac=0.4)).teams == pytest.approx(hours.teams / 2)
    assert 0 < hours.trainings < hours.total


def test_search_and_final_training_have_room_on_sixteen_gpus(config: Config) -> None:
    plan = resource_plan(config)
    assert (plan.training_gpus, plan.llm_gpus, plan.operator_gpus) == (4, 8, 1)
    assert plan.gpus <= NUM_GPUS
    assert config.tune is not None
    assert config.tune.num_workers * config.tune.num_gpus_per_worker == NUM_GPUS


def test_the_chat_model_replies_without_thinking_and_has_time_to_answer(config: Config) -> None:
    (answer,) = [operator for operator in config.teams.generation if isinstance(operator, GenerateAnswer)]
    model = config.models.operators
    assert isinstance(model, ServedLLM)
    assert model.extra_body == {"chat_template_kwargs": {"enable_thinking": False}}  # else Qwen3 pays for thoughts
    assert answer.decoding.max_tokens < model.max_model_len / 2
    assert model.min_replicas == 1  # from zero, a request would wait for 64 GB to load
    assert model.timeout_s >= 1800


def test_strategies_run_side_by_side_though_the_head_is_alone_at_the_start(config: Config) -> None:
    assert config.search.max_concurrency == config.search.num_strategies


def trainings(config: Config) -> list[tuple[str, TrainingRecipe, ModelShape]]:
    """What the config trains: the proxy in the search, any of the final models at the end."""
    tune = config.tune
    assert tune is not None
    wanted = [("Qwen2.5-1.5B-Instruct, training", config.training, QWEN_1_5B)]
    wanted += [(f"{name}, tune", tune, facts) for name, facts in FINAL_MODELS.items()]
    wanted.append(("the first of these without DeepSpeed", tune.model_copy(update={"deepspeed": None}), QWEN_7B))
    shapes = [(label, recipe, shape_of(facts)) for label, recipe, facts in wanted]
    return [(label, recipe, shape) for label, recipe, shape in shapes if shape is not None]


def test_the_proxy_and_every_final_model_fit_on_an_a100_80g(config: Config) -> None:
    fitting = trainings(config)[:-1]
    assert len(fitting) == 4
    for _, recipe, shape in fitting:
        require_fit(recipe, shape, 80 * GIB)


def test_the_readme_shows_the_arithmetic_as_it_is(config: Config) -> None:
    shown = memory_table(trainings(config), 80 * GIB)
    assert shown in (FILES[0].parent / "README.md").read_text(encoding="utf-8"), f"it should hold:\n{shown}"
