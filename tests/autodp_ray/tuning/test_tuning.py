"""What a final fine-tuning is asked to do, and what is refused before anything starts."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from actors.training.recipe import TrainingRecipe
from autodp_ray.applying import engine
from autodp_ray.progress import Silent
from autodp_ray.result import RunResult
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.strategies.processing import Processor
from autodp_ray.tuning.tune import tune_run, untrained_recipe
from autodp_ray.tuning.tuning import tuning_recipe
from operators.contract.errors import InputError, RunError
from tests.actors.model_facts import LLAMA_8B
from tests.autodp_ray.run_fakes import make_config, pair
from tests.autodp_ray.tuning_fakes import CLUSTER, FakeTrainers, MakeRun, applied, dropping_two, tune, tuning


def test_a_run_that_is_not_finished_or_not_applied_says_what_to_run_first(make_run: MakeRun) -> None:
    found = make_run()
    location = found.folder.storage.location
    with pytest.raises(InputError, match=f"run autodp apply {location} first"):
        tuning(found)
    found.folder.write_result(RunResult(status="interrupted"))
    with pytest.raises(InputError, match=f"autodp run --resume {location}"):
        tuning(found)


def test_data_with_held_out_rows_in_it_is_refused(run: OpenRun) -> None:
    applied(run, with_held_out=True)
    with pytest.raises(InputError, match=r"made of 40 rows, but the train split has 22: it holds held-out rows"):
        tuning(run)


ROWS = [pair(number) | {"answer": f"{number}: 答案，第 {number} 行的。"} for number in range(40)]


def as_lines(rows: list[dict[str, str]], encoding: str = "utf-8") -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding)


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        ({"a.jsonl": as_lines(ROWS, "gb18030")}, {"path": "in/a.jsonl", "encoding": "gb18030"}),
        ({"a.json": json.dumps({"data": ROWS}).encode()}, {"path": "in/a.json", "field": "data"}),
        ({"train.jsonl": as_lines(ROWS), "eval.jsonl": as_lines(ROWS[:1])}, {"path": "in", "split": "train"}),
        (
            {"a.jsonl": as_lines(ROWS), "dataset_info.json": b'{"mine": {"file_name": "a.jsonl"}}'},
            {"path": "in", "name": "mine"},
        ),
    ],
    ids=["encoding", "field", "split", "name"],
)
def test_what_was_said_of_the_input_is_not_asked_of_the_output(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes], settings: dict[str, str]
) -> None:
    Path("in").mkdir()
    for name, data in files.items():
        (Path("in") / name).write_bytes(data)
    found = make_run(dataset=settings)
    monkeypatch.setattr(engine, "Processor", functools.partial(Processor, apply_recipe=dropping_two()))
    applied(found)
    trainers = FakeTrainers()
    tune(tuning(found), trainers)
    assert len(trainers.trainings) == 1  # rows that could not be read, or fewer, would have been refused


def test_data_of_another_strategy_is_refused(run: OpenRun) -> None:
    other = applied(run, strategy="none", output="other")
    run.folder.storage.write_text("processed/data.jsonl", Path(other.files[0]).read_text())
    found = tuning(run)
    with pytest.raises(InputError, match=r"holds 22 rows, but cleaning left 20.*run autodp apply"):
        tune(found, FakeTrainers())


def test_a_test_row_that_cannot_be_scored_is_known_before_the_training(run: OpenRun) -> None:
    trainers = FakeTrainers(left_out={"no_room": 2})
    with pytest.raises(RunError, match=r"2 test rows cannot be scored .*raise tune\.max_length"):
        tune(tuning(run), trainers)
    assert trainers.trainings == []


def test_a_folder_that_holds_something_else_is_left_alone(run: OpenRun, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="holds something else; choose another --output"):
        tune(tuning(run, output="mine"), FakeTrainers())
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"
    with pytest.raises(InputError, match=r"s3://bucket is a whole bucket; .* such as s3://bucket/model"):
        tuning(run, output="s3://bucket")


def test_a_model_that_is_not_there_is_named(run: OpenRun) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        tuning(run, model="/no/such/model")


def test_the_recipe_is_the_searchs_over_whole_epochs_unless_there_is_one_of_its_own() -> None:
    training = {"budget": "steps", "steps": 24, "epochs": 2, "learning_rate": 1e-3}
    plain = make_config("d", training=training)
    assert tuning_recipe(plain) == TrainingRecipe.model_validate(training | {"budget": "epochs"})
    own = make_config("d", training=training, tune={"method": "full", "num_workers": 16, "deepspeed": "zero3"})
    assert tuning_recipe(own) == TrainingRecipe(method="full", num_workers=16, deepspeed="zero3")
    assert tuning_recipe(own, ["tune.epochs=1"]) == TrainingRecipe(
        method="full", num_workers=16, deepspeed="zero3", epochs=1
    )


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.epochs=1", r"--set takes tune.KEY=VALUE here"),
        ("tune.epchs=1", r"unknown key tune.epchs; did you mean epochs\?"),
        ("tune.epochs=0", r"tune.epochs: must be greater than or equal to 1, not 0"),
    ],
)
def test_a_wrong_override_is_one_clear_line(override: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        tuning_recipe(make_config("d"), [override])


def test_a_training_that_this_machine_cannot_hold_is_refused_before_it_starts(run: OpenRun) -> None:
    trainers = FakeTrainers()
    with pytest.raises(InputError, match=r"wants 9 CPUs and 0 GPUs, but this machine has 4 and 0; lower tune\."):
        tune(tuning(run, overrides=["tune.num_workers=9"]), trainers)
    assert trainers.jobs == []


def test_a_training_that_no_gpu_can_hold_is_refused_before_it_starts(run: OpenRun, tmp_path: Path) -> None:
    (tmp_path / "model" / "config.json").write_text(json.dumps(LLAMA_8B))
    found = tuning(run, overrides=["tune.method=full", "tune.num_gpus_per_worker=1"])
    grown = replace(CLUSTER, num_gpus=1)
    trainers = FakeTrainers()
    with pytest.raises(InputError, match=r"8\.03 billion parameters needs .* of 24\.0 GiB; .*tune\.deepspeed"):
        tune_run(found, cluster=grown, progress=Silent(), trainers=trainers, gpu_bytes=lambda num_gpus: 24 * 2**30)
    assert trainers.jobs == []


def test_a_model_is_scored_untrained_in_the_precision_of_its_training_and_must_fit_whole(
    run: OpenRun, tmp_path: Path
) -> None:
    recipe = TrainingRecipe(method="full", num_workers=16, deepspeed="zero3", precision="bf16")
    scoring = untrained_recipe(recipe)
    assert (scoring.method, scoring.deepspeed, scoring.precision, scoring.num_workers) == ("lora", None, "bf16", 16)
    (tmp_path / "model" / "config.json").write_text(json.dumps(LLAMA_8B))
    settings: dict[str, object] = {"method": "full", "deepspeed": "zero3", "num_workers": 16, "num_gpus_per_worker": 1}
    settings |= {"micro_batch_size": 1, "gradient_checkpointing": "true"}
    found = tuning(run, overrides=[f"tune.{key}={value}" for key, value in settings.items()])
    grown, trainers = replace(CLUSTER, num_cpus=16, num_gpus=16), FakeTrainers()
    with pytest.raises(InputError, match=r"scored before its training, whole on each GPU: .*tune\.precision to bf16"):
        tune_run(found, cluster=grown, progress=Silent(), trainers=trainers, gpu_bytes=lambda num_gpus: 32 * 2**30)
    assert trainers.jobs == []
