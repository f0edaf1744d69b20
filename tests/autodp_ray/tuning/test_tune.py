"""The final fine-tuning: what it trains on, what it hands over, and how it goes on after a kill."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import peft
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.models.source import ResolvedModel, resolve_model
from actors.storage.storage import Storage
from actors.training.chat_rows import ChatEncoder
from actors.training.job import TrainJob, TrainOutcome, read_rows
from actors.training.recipe import TrainingRecipe
from autodp_ray.applying import engine
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import find_prepared
from autodp_ray.progress import Silent
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.scoring.training_scores import TrainFn
from autodp_ray.strategies.processing import Processor
from autodp_ray.tuning.tune import TUNING, TUNING_UNTRAINED, training_service, tune_run
from autodp_ray.tuning.tuning import prepare_tuning
from operators.contract.errors import RunError
from tests.autodp_ray.run_fakes import pair
from tests.autodp_ray.tuning_fakes import (
    CLUSTER,
    NUM_TEST,
    NUM_TRAIN,
    FakeTrainers,
    MakeRun,
    applied,
    dropping_two,
    tune,
    tuning,
)


def test_a_model_is_scored_as_it_is_then_trained_on_the_processed_rows(run: OpenRun) -> None:
    trainers = FakeTrainers()
    tuned = tune(tuning(run), trainers)
    untrained, trained = trainers.jobs
    assert untrained.train is None
    assert trained.recipe == TrainingRecipe()
    assert trained.checkpoint_folder is not None
    assert (tuned.num_rows, tuned.num_steps, tuned.strategy) == (NUM_TRAIN - 2, 33, "cleaning")
    assert (tuned.test_score, tuned.untrained_score, tuned.gain, tuned.num_test_rows) == (-1.0, -2.0, 1.0, NUM_TEST)
    assert trainers.storage == [run.folder.storage.uri("training")]
    assert "+1.0000" in tuned.text()


def test_the_training_rows_are_those_of_the_processed_folder(run: OpenRun, tmp_path: Path) -> None:
    seen: list[set[str]] = []

    class Watching(FakeTrainers):
        def train(self, job: TrainJob) -> TrainOutcome:
            if job.train is not None:
                seen.append(set(read_rows(job.train)["question"].to_pylist()))
            return super().train(job)

    tune(tuning(run), Watching())
    lines = (tmp_path / "run" / "processed" / "data.jsonl").read_text().splitlines()
    assert seen == [{json.loads(line)["instruction"] for line in lines}]
    test = find_prepared(run.folder.storage, Journal(run.folder.storage)).test.read()
    assert not seen[0] & set(test["question"].to_pylist())


def test_the_folder_holds_the_adapter_and_a_card_without_row_text(run: OpenRun, tmp_path: Path) -> None:
    tuned = tune(tuning(run), FakeTrainers())
    folder = tmp_path / "run" / "tuned" / "model"
    assert tuned.output == str(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    card = (folder / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert (front["library_name"], front["pipeline_tag"]) == ("peft", "text-generation")
    for fact in ("cleaning", tuned.revision, tuned.run_dir, "rows trained on: 20", '"learning_rate": 1e-05', "-1.0000"):
        assert fact in card
    rows = [text for number in range(40) for text in pair(number).values() if text]
    assert not [text for text in rows if text[:20] in card + tuned.model_dump_json()]
    assert not list(folder.parent.glob("*.work"))


def test_a_tuning_that_is_done_is_not_repeated(run: OpenRun) -> None:
    first = tune(tuning(run), FakeTrainers())
    again = FakeTrainers()
    assert tune(tuning(run), again) == first
    assert again.jobs == []
    assert Journal(run.folder.storage).count(TUNING) == 1


def test_a_model_goes_to_a_uri_and_a_killed_tuning_goes_on_there(run: OpenRun, s3_bucket: Storage) -> None:
    models = s3_bucket.folder("models")
    wanted = tuning(run, output=models.uri("mine"))
    with pytest.raises(RunError, match="died 2 times"):
        tune(wanted, FakeTrainers(dies=True))
    assert models.names() == ["mine.work"]
    tuned, again = tune(wanted, FakeTrainers()), FakeTrainers()
    assert tuned.output == f"{s3_bucket.location}/models/mine"
    assert models.names() == ["mine"]
    assert models.names("mine") == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert tune(wanted, again) == tuned
    assert again.jobs == []


def test_a_tuning_that_was_killed_while_it_handed_over_goes_on(
    run: OpenRun, s3_bucket: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = s3_bucket.folder("half")
    wanted = tuning(run, output=output.location)
    rename = Storage.rename
    moved: list[str] = []

    def killed(storage: Storage, source: str, target: str) -> None:
        if moved:
            raise KeyboardInterrupt
        moved.append(target)
        rename(storage, source, target)

    monkeypatch.setattr(Storage, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        tune(wanted, FakeTrainers())
    assert output.names() == ["adapter_config.json"]
    monkeypatch.setattr(Storage, "rename", rename)
    assert tune(wanted, FakeTrainers()).output == output.location
    assert output.names() == ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert "half.work" not in s3_bucket.names()


def test_a_model_that_was_deleted_is_made_again(run: OpenRun) -> None:
    first = tune(tuning(run), FakeTrainers())
    Storage.at(first.output).delete()
    again = FakeTrainers()
    assert tune(tuning(run), again) == first
    assert len(again.trainings) == len(again.jobs) == 1


def test_after_a_kill_the_checkpoints_are_there_and_the_untrained_score_is_known(run: OpenRun) -> None:
    broken, going_on = FakeTrainers(dies=True), FakeTrainers()
    with pytest.raises(RunError, match="died 2 times"):
        tune(tuning(run), broken)
    assert Journal(run.folder.storage).count(TUNING_UNTRAINED) == 1
    seen: list[list[str]] = []

    class Watching(FakeTrainers):
        def train(self, job: TrainJob) -> TrainOutcome:
            assert job.checkpoint_folder is not None
            seen.append(Storage.at(job.checkpoint_folder).names())
            return going_on.train(job)

    tune(tuning(run), Watching())
    assert [job.checkpoint_folder for job in going_on.jobs] == [broken.trainings[0].checkpoint_folder]
    assert seen == [["checkpoint-10", "checkpoint-20"]]


def test_another_recipe_does_not_go_on_from_foreign_checkpoints(run: OpenRun) -> None:
    broken, other = FakeTrainers(dies=True), FakeTrainers()
    with pytest.raises(RunError):
        tune(tuning(run), broken)
    tune(tuning(run, overrides=["tune.epochs=1"]), other)
    assert other.trainings[0].checkpoint_folder != broken.trainings[0].checkpoint_folder


def loss_by_hand(model: torch.nn.Module, tokenizer: object, run: OpenRun) -> float:
    """Mean token NLL of the test answers, by the library's own loss."""
    test = find_prepared(run.folder.storage, Journal(run.folder.storage)).test.read()
    total, num_tokens = 0.0, 0
    for example in ChatEncoder(tokenizer, max_length=96).encode(test).examples:
        tokens = torch.tensor([example.tokens])
        labels = tokens.clone()
        labels[:, : example.num_prompt] = -100
        with torch.no_grad():
            total += float(model(input_ids=tokens, labels=labels).loss) * example.num_answer
        num_tokens += example.num_answer
    return total / num_tokens


@pytest.mark.slow
@pytest.mark.ray
def test_a_real_training_hands_over_a_folder_that_scores_as_reported(
    make_run: MakeRun, tiny_model: Path, local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = {
        "lora": {"rank": 4},
        "learning_rate": 1e-2,
        "batch_size": 4,
        "epochs": 2,
        "max_length": 96,
        "num_cpus_per_worker": 0.5,
    }
    found = make_run(tiny_model, training=training)
    monkeypatch.setattr(engine, "Processor", functools.partial(Processor, apply_recipe=dropping_two()))
    applied(found)
    with training_service(
        resolve_model(str(tiny_model)),
        TrainingRecipe.model_validate(training),
        found.folder.storage.uri("training"),
        Silent(),
    ) as train:

        @contextmanager
        def lent(model: ResolvedModel, recipe: TrainingRecipe, storage_path: str) -> Iterator[TrainFn]:
            yield train

        options = {"cluster": CLUSTER, "progress": Silent(), "trainers": lent}
        merged = tune_run(prepare_tuning(found, model=str(tiny_model), merge=True, output="merged"), **options)  # type: ignore[arg-type]
        adapter = tune_run(prepare_tuning(found, model=str(tiny_model), output="adapter"), **options)  # type: ignore[arg-type]
    assert merged.num_steps == 10
    assert merged.gain > 0.1
    assert adapter.test_score == merged.test_score
    tokenizer = AutoTokenizer.from_pretrained("merged")
    assert -loss_by_hand(AutoModelForCausalLM.from_pretrained("merged"), tokenizer, found) == pytest.approx(
        merged.test_score, abs=1e-4
    )
    whole = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), "adapter")
    assert -loss_by_hand(whole, tokenizer, found) == pytest.approx(adapter.test_score, abs=1e-4)
