"""The final fine-tuning: what it trains on, what it refuses, what it hands over, and how it goes on after a kill."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import peft
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.storage import Storage
from actors.training.chat_rows import ChatEncoder
from actors.training.job import ItemLosses, TrainJob, TrainOutcome, read_rows
from actors.training.recipe import TrainingRecipe
from autodp_ray import apply
from autodp_ray.apply import Applied, apply_run, prepare_application
from autodp_ray.cluster import Cluster
from autodp_ray.evaluation import TrainFn
from autodp_ray.journal import Journal
from autodp_ray.open_run import OpenRun, RunOptions, open_run
from autodp_ray.preparation import find_prepared, prepare
from autodp_ray.processing import Processor
from autodp_ray.progress import Silent
from autodp_ray.result import RunResult
from autodp_ray.tuning.export import export
from autodp_ray.tuning.model_card import hub_id
from autodp_ray.tuning.tune import TUNING, TUNING_UNTRAINED, training_service, tune_run
from autodp_ray.tuning.tuned import Tuned
from autodp_ray.tuning.tuning import Tuning, prepare_tuning, tuning_recipe
from operators.errors import InputError, RunError
from tests.actors.model_facts import LLAMA_8B
from tests.autodp_ray.run_fakes import (
    NO_MODELS,
    FakeRecipe,
    cache_here,
    config_values,
    make_config,
    model_folder,
    pair,
    write_jsonl,
)

CLUSTER = Cluster(is_own=True, num_nodes=1, num_cpus=4, num_gpus=0, hosts=frozenset())
NUM_TRAIN, NUM_TEST = 22, 8
MakeRun = Callable[..., OpenRun]


@dataclass
class FakeTrainers:
    """Trains nothing: writes an adapter of one byte, and scores half as much loss after a training as before."""

    jobs: list[TrainJob] = field(default_factory=list)
    storage: list[str] = field(default_factory=list)
    dies: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)

    @contextmanager
    def __call__(self, model: str, recipe: TrainingRecipe, storage_path: str) -> Iterator[TrainFn]:
        self.storage.append(storage_path)
        yield self.train

    def train(self, job: TrainJob) -> TrainOutcome:
        self.jobs.append(job)
        if job.train is not None and self.dies:
            assert job.checkpoint_folder is not None
            for name, last in (("checkpoint-10", "trainer_state.json"), ("checkpoint-20", "optimizer.pt")):
                Storage.at(job.checkpoint_folder).write_text(f"{name}/{last}", "{}")
            raise RunError("the training failed: its workers died 2 times")
        if job.export_folder is not None:
            folder = Storage.at(job.export_folder)
            folder.write_text("adapter_config.json", json.dumps({"base_model_name_or_path": job.model.path, "r": 2}))
            folder.write_text("adapter_model.safetensors", "1")
        loss = 2.0 if job.train is None else 1.0
        ids = tuple(read_rows(job.evaluation["test"])["id"].to_pylist())
        return TrainOutcome(
            evaluation={
                "test": ItemLosses(
                    ids=ids,
                    nll_sums=tuple(10 * loss for _ in ids),
                    num_tokens=(10,) * len(ids),
                    left_out=self.left_out,
                )
            },
            num_rows=0 if job.train is None else read_rows(job.train).num_rows,
            num_steps=0 if job.train is None else 33,
            left_out={},
            num_truncated=0,
            train_losses=(),
            seconds={"train": 2.0},
        )

    @property
    def trainings(self) -> list[TrainJob]:
        return [job for job in self.jobs if job.train is not None]


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRun:
    """Makes a finished run over 40 rows, whose recommendation is `cleaning`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(apply, "open_strategy_cache", cache_here)

    def make(model: Path | None = None, **sections: object) -> OpenRun:
        data = write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(40)])
        endpoint = {"model": "m", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
        tuned = {"model": str(model or model_folder(tmp_path))}
        models = {"agent": endpoint, "operators": endpoint, "tuned": tuned}
        Path("run.yaml").write_text(yaml.safe_dump(config_values(data, models=models, **sections)))
        found = open_run(RunOptions(config_path="run.yaml", run_dir="run"))
        found.finished_result()
        storage = found.folder.storage
        prepare(found.config, run=storage, journal=Journal(storage), progress=Silent(), models=NO_MODELS)
        found.folder.write_result(RunResult(status="done", claim="confirmed", best_strategy="cleaning"))
        return open_run(RunOptions(resume="run"))

    return make


@pytest.fixture
def run(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> OpenRun:
    """A finished run whose recommendation was applied: it tags every answer and drops two rows."""
    found = make_run()
    monkeypatch.setattr(apply, "Processor", functools.partial(Processor, apply_recipe=dropping_two()))
    applied(found)
    return found


def dropping_two() -> FakeRecipe:
    return FakeRecipe(lambda table, name: table.slice(2), counts={"dropped:short": 2})


def applied(run: OpenRun, **what: object) -> Applied:
    application = prepare_application(run, **what)  # type: ignore[arg-type]
    return apply_run(application, cluster=CLUSTER, progress=Silent())


def tuning(run: OpenRun, model: Path | str = "model", **options: object) -> Tuning:
    return prepare_tuning(run, model=f"./{model}" if model == "model" else str(model), **options)  # type: ignore[arg-type]


def tune(found: Tuning, trainers: FakeTrainers, *, gpu_bytes: int = 0) -> Tuned:
    return tune_run(found, cluster=CLUSTER, progress=Silent(), trainers=trainers, gpu_bytes=lambda num_gpus: gpu_bytes)


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


def test_a_model_that_was_deleted_is_made_again(run: OpenRun) -> None:
    first = tune(tuning(run), FakeTrainers())
    Storage.at(first.output).delete()
    again = FakeTrainers()
    assert tune(tuning(run), again) == first
    assert len(again.trainings) == len(again.jobs) == 1


def test_after_a_kill_the_last_whole_checkpoint_is_there_and_the_untrained_score_is_known(run: OpenRun) -> None:
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
    assert seen == [["checkpoint-10"]]


def test_another_recipe_does_not_go_on_from_foreign_checkpoints(run: OpenRun) -> None:
    broken, other = FakeTrainers(dies=True), FakeTrainers()
    with pytest.raises(RunError):
        tune(tuning(run), broken)
    tune(tuning(run, overrides=["tune.epochs=1"]), other)
    assert other.trainings[0].checkpoint_folder != broken.trainings[0].checkpoint_folder


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
    with pytest.raises(InputError, match="give --output with a path that every node mounts"):
        tuning(run, output="s3://bucket/model")


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


def test_a_full_training_has_no_adapter_to_merge(run: OpenRun) -> None:
    with pytest.raises(InputError, match="no adapter to merge"):
        tuning(run, merge=True, overrides=["tune.method=full"])


def test_an_adapter_names_its_base_by_the_hubs_id(run: OpenRun) -> None:
    found = tuning(run)
    tuned = tune(found, FakeTrainers())
    hub = replace(found, source="Qwen/Qwen2.5-7B-Instruct@abc", output=Storage.at("hub"))
    attempt = Storage.at("attempt")
    attempt.write_text("export/adapter_config.json", json.dumps({"base_model_name_or_path": "/cache/x", "r": 2}))
    export(hub, tuned.model_copy(update={"model": hub.source}), attempt)
    config = json.loads(Path("hub/adapter_config.json").read_text())
    assert config == {"base_model_name_or_path": "Qwen/Qwen2.5-7B-Instruct", "revision": "abc", "r": 2}
    front = yaml.safe_load(Path("hub/README.md").read_text().split("---")[1])
    assert (front["base_model"], front["base_model_relation"]) == ("Qwen/Qwen2.5-7B-Instruct", "adapter")


def test_an_export_that_the_driver_cannot_see_is_said(run: OpenRun) -> None:
    found = tuning(run)
    tuned = tune(found, FakeTrainers())
    with pytest.raises(RunError, match="not there on this node: give --output with a path that every node mounts"):
        export(found, tuned, Storage.at("empty"))


@pytest.mark.parametrize(
    ("name", "hub"),
    [("a/b", "a/b"), ("a/b@c", "a/b"), ("/x/y", None), ("./m", None), ("pkg:m", None), ("m", None), ("x/y/z", None)],
)
def test_only_a_hubs_name_is_a_hub_id(name: str, hub: str | None) -> None:
    assert hub_id(name) == hub


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
    monkeypatch.setattr(apply, "Processor", functools.partial(Processor, apply_recipe=dropping_two()))
    applied(found)
    with training_service(
        str(tiny_model), TrainingRecipe.model_validate(training), found.folder.storage.uri("training")
    ) as train:

        @contextmanager
        def lent(model: str, recipe: TrainingRecipe, storage_path: str) -> Iterator[TrainFn]:
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
