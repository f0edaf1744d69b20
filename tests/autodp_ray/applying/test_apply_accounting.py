"""Applying a strategy accounts for every row; everything that can be wrong is said before any Ray is asked for."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from autodp_ray.applying import apply, engine
from autodp_ray.applying.accounts import Applied
from autodp_ray.applying.apply import apply_run, prepare_application
from autodp_ray.applying.source import AppliedSource
from autodp_ray.cluster.ray import Cluster
from autodp_ray.ingest.stored_split import StoreSplit
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.records.forms.names import ColumnNames
from autodp_ray.result import RunResult
from autodp_ray.runs.open_run import OpenRun, RunOptions, open_run
from autodp_ray.strategies.processing import Processor
from operators.contract.errors import InputError, RunError
from tests.autodp_ray.run_fakes import NO_MODELS, FakeRecipe, cache_here, config_values, model_folder, pair, write_jsonl

CLUSTER = Cluster(is_own=False, num_nodes=1, num_cpus=2, num_gpus=0, hosts=frozenset())
NUM_IN = 41
NUM_TRAIN = 22
ApplyTo = Callable[..., Applied]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenRun:
    """A finished run over 40 rows and a broken line, whose recommendation is `cleaning`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(apply, "open_strategy_cache", cache_here)
    data = write_jsonl(tmp_path / "data.jsonl", [*(pair(number) for number in range(40)), "{broken"])
    endpoint = {"model": "m", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
    models = {"agent": endpoint, "operators": endpoint, "tuned": {"model": str(model_folder(tmp_path))}}
    Path("run.yaml").write_text(yaml.safe_dump(config_values(data, models=models)))
    found = open_run(RunOptions(config_path="run.yaml", run_dir="run"))
    found.finished_result()
    storage = found.folder.storage
    prepare(found.config, run=storage, journal=Journal(storage), progress=Silent(), models=NO_MODELS)
    found.folder.write_result(RunResult(status="done", claim="confirmed", best_strategy="cleaning"))
    return found


@pytest.fixture
def apply_to(run: OpenRun, monkeypatch: pytest.MonkeyPatch) -> ApplyTo:
    """Applies with a recipe that stands in for Ray's part: `recipe` first, then what to apply."""

    def act(recipe: FakeRecipe, **what: object) -> Applied:
        monkeypatch.setattr(engine, "Processor", functools.partial(Processor, apply_recipe=recipe))
        application = prepare_application(run, **what)  # type: ignore[arg-type]
        return apply_run(application, cluster=CLUSTER, progress=Silent())

    return act


def balance(applied: Applied) -> int:
    dropped = sum(applied.dropped.values())
    return applied.rows_out + dropped + applied.quarantined + applied.held_out - applied.generated


def dropping(num_rows: int, **counts: int) -> FakeRecipe:
    return FakeRecipe(lambda table, name: table.slice(num_rows), counts=counts)


def growing(num_rows: int, **counts: int) -> FakeRecipe:
    def grow(table: pa.Table, name: str) -> pa.Table:
        new = table.slice(0, num_rows)
        ids = pa.array([f"new-{at}" for at in range(new.num_rows)], pa.string())
        return pa.concat_tables([table, new.set_column(0, table.schema.field("id"), ids)])

    return FakeRecipe(grow, counts=counts)


def written(applied: Applied) -> list[dict[str, str]]:
    return [json.loads(line) for file in applied.files for line in Path(file).read_text().splitlines()]


def test_no_processing_writes_the_train_split_as_it_came(apply_to: ApplyTo) -> None:
    applied = apply_to(FakeRecipe(), strategy="none", output="none")
    assert (applied.rows_in, applied.rows_out, applied.quarantined, applied.held_out) == (NUM_IN, NUM_TRAIN, 1, 18)
    assert balance(applied) == applied.rows_in
    assert {tuple(row) for row in written(applied)} == {("instruction", "input", "output")}
    assert len(written(applied)) == NUM_TRAIN


def test_dropped_rows_are_accounted_for_by_reason(apply_to: ApplyTo, run: OpenRun) -> None:
    applied = apply_to(dropping(5, **{"dropped:short": 3, "dropped:near_duplicate": 2, "rejected:empty": 4}))
    assert applied.strategy == "cleaning"
    assert applied.dropped == {"near_duplicate": 2, "short": 3}
    assert applied.other_counts == {"rejected:empty": 4}
    assert applied.rows_out == len(written(applied)) == NUM_TRAIN - 5
    assert balance(applied) == applied.rows_in == NUM_IN
    result = run.folder.result()
    assert result is not None
    assert (result.rows.out, dict(result.rows.dropped)) == (NUM_TRAIN - 5, {"near_duplicate": 2, "short": 3})
    assert dict(result.rows.rejected) == {"empty": 4}
    assert result.seconds.apply == applied.seconds


def test_generated_rows_are_accounted_for(apply_to: ApplyTo) -> None:
    applied = apply_to(growing(6, generated=6))
    assert (applied.rows_out, applied.generated) == (NUM_TRAIN + 6, 6)
    assert balance(applied) == applied.rows_in == NUM_IN


@pytest.mark.parametrize("recipe", [dropping(5, **{"dropped:short": 4}), dropping(1), growing(2, generated=1)])
def test_rows_that_do_not_add_up_are_a_fault_that_says_so(apply_to: ApplyTo, run: OpenRun, recipe: FakeRecipe) -> None:
    with pytest.raises(RunError, match="rows do not add up: 41 went in"):
        apply_to(recipe)
    result = run.folder.result()
    assert result is not None
    assert result.rows.out is None


def test_all_includes_the_held_out_rows(apply_to: ApplyTo) -> None:
    applied = apply_to(FakeRecipe(), strategy="none", with_held_out=True, output="everything")
    assert (applied.rows_out, applied.held_out) == (NUM_TRAIN + 18, 0)
    assert balance(applied) == applied.rows_in == NUM_IN


def test_held_out_files_of_their_own_are_accounted_for(
    run: OpenRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_jsonl(tmp_path / "test.jsonl", [pair(1000 + number) for number in range(12)])
    splits = {"guide": 4, "validation": 6, "test": 8, "min_train": 10, "test_path": str(own)}
    values = json.loads(run.config.model_dump_json()) | {"splits": splits}
    Path("own.yaml").write_text(yaml.safe_dump(values))
    other = open_run(RunOptions(config_path="own.yaml", run_dir="own"))
    other.finished_result()
    prepare(
        other.config,
        run=other.folder.storage,
        journal=Journal(other.folder.storage),
        progress=Silent(),
        models=NO_MODELS,
    )
    other.folder.write_result(RunResult(status="done", claim="none", best_strategy="none"))
    applied = apply_run(prepare_application(other), cluster=CLUSTER, progress=Silent())
    assert applied.rows_in == NUM_IN + 12
    assert applied.held_out == 4 + 6 + 12
    assert balance(applied) == applied.rows_in


def test_another_dataset_is_processed_whole_and_leaves_the_result_alone(
    apply_to: ApplyTo, run: OpenRun, tmp_path: Path
) -> None:
    other = write_jsonl(tmp_path / "other.jsonl", [*(pair(500 + number) for number in range(7)), "{broken"])
    before = run.folder.result()
    applied = apply_to(FakeRecipe(), source=str(other), output=str(tmp_path / "out" / "clean.jsonl"))
    assert (applied.rows_in, applied.rows_out, applied.quarantined, applied.held_out) == (8, 7, 1, 0)
    assert applied.files == (str(tmp_path / "out" / "clean.jsonl"),)
    assert all(row["output"].endswith("strip_markup") for row in written(applied))
    assert (tmp_path / "out" / "clean.jsonl.quarantine.jsonl").exists()
    assert run.folder.result() == before


def test_another_dataset_in_a_folder_has_its_quarantine_there(apply_to: ApplyTo, tmp_path: Path) -> None:
    other = write_jsonl(tmp_path / "other.jsonl", [pair(500), "{broken"])
    apply_to(FakeRecipe(), source=str(other), output=str(tmp_path / "out"))
    assert (tmp_path / "out" / "_quarantine" / "quarantine.jsonl").exists()


def test_another_dataset_may_have_another_form_and_format_and_keeps_them(apply_to: ApplyTo, tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "first?"}, {"from": "gpt", "value": "one"}]
    rows = [
        {"conversations": [*turns, {"from": "human", "value": "q?"}, {"from": "gpt", "value": f"a{at}"}]}
        for at in (1, 2)
    ]
    (tmp_path / "chats.json").write_text(json.dumps(rows))
    applied = apply_to(FakeRecipe(), source="chats.json", output="out")
    assert applied.files == (str(tmp_path / "out" / "data.json"),)
    made = json.loads(Path(applied.files[0]).read_text())
    assert [row["conversations"][:2] for row in made] == [turns, turns]
    assert [row["conversations"][3]["value"] for row in made] == ["a1 strip_markup", "a2 strip_markup"]
    assert balance(applied) == applied.rows_in == 2


def test_columns_that_the_runs_config_names_do_not_stand_in_the_way_of_another_form(
    apply_to: ApplyTo, run: OpenRun, tmp_path: Path
) -> None:
    settings = {"format": "jsonl", "form": "columns", "columns": ColumnNames(question="instruction", answer="output")}
    named = run.config.dataset.model_copy(update=settings)
    named_run = dataclasses.replace(run, config=run.config.model_copy(update={"dataset": named}))
    write_jsonl(tmp_path / "same.jsonl", [pair(600)])
    Path("other.csv").write_text("question,answer,topic\nq1,a1,t1\nq2,a2,t2\n")
    Path("wrong.csv").write_text("a,b\n1,2\n")

    notes: list[str] = []

    class Noting(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    def found(source: str, output: str) -> AppliedSource:
        return prepare_application(named_run, source=source, output=output).read(progress=Noting())

    assert found("same.jsonl", "o1").layout.form == "columns"
    assert not any("do not fit" in note for note in notes)
    csv = found("other.csv", "o2")
    assert (csv.layout.format, csv.num_in) == ("csv", 2)
    assert any("settings do not fit other.csv; it is read in the form columns" in note for note in notes)
    with pytest.raises(InputError, match=r"cannot tell the form of .*wrong.csv: its columns are a, b"):
        found("wrong.csv", "o3")


def test_an_output_of_another_format_than_the_dataset_is_refused_before_rows_are_read(
    apply_to: ApplyTo, run: OpenRun
) -> None:
    with pytest.raises(InputError, match=r"ends in \.parquet"):
        apply_to(FakeRecipe(), source="data.jsonl", output="out.parquet")
    assert not [file for file in run.folder.storage.files("work") if file.endswith(".arrow")]


def test_rows_that_a_killed_application_has_read_are_not_read_again(
    run: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read() -> AppliedSource:
        return prepare_application(run, source="data.jsonl", output="out.jsonl").read(progress=Silent())

    before = read()
    monkeypatch.delattr(StoreSplit, "_stored")
    assert read() == before
    Path("data.jsonl").touch()
    with pytest.raises(AttributeError):
        read()


@pytest.mark.parametrize(("source", "held_out"), [(None, True), (None, False), ("data.jsonl", False)])
def test_rows_add_up_whatever_is_applied_to_what(apply_to: ApplyTo, source: str | None, held_out: bool) -> None:
    recipe = dropping(3, **{"dropped:short": 3})
    applied = apply_to(recipe, source=source, output="out.jsonl", with_held_out=held_out)
    assert balance(applied) == applied.rows_in == NUM_IN
    assert applied.rows_out == len(written(applied))
    assert applied.quarantined == 1
    assert applied.quarantine_reasons == {"invalid JSON": 1}
    assert applied.quarantine_file is not None
    assert Path(applied.quarantine_file).read_text().count("\n") == 1
    assert f"quarantined 1 invalid JSON 1 (see {applied.quarantine_file})" in " ".join(applied.text().split())


def test_another_strategy_never_takes_the_place_of_the_recommended_ones_rows(apply_to: ApplyTo, run: OpenRun) -> None:
    kept = written(apply_to(FakeRecipe()))
    before = run.folder.result()
    for output in (None, "run/processed"):
        with pytest.raises(
            InputError, match=r"processed is for .* by cleaning, .* give --output .* for what none makes"
        ):
            prepare_application(run, strategy="none", output=output)
    apply_to(FakeRecipe(), strategy="none", output="elsewhere")
    assert [json.loads(line) for line in Path("run/processed/data.jsonl").read_text().splitlines()] == kept
    assert run.folder.result() == before


def test_naming_the_recommended_strategy_or_its_folder_is_the_same_as_leaving_it_out(
    apply_to: ApplyTo, run: OpenRun
) -> None:
    apply_to(FakeRecipe(), strategy="cleaning", output="run/processed")
    result = run.folder.result()
    assert result is not None
    assert result.rows.out == NUM_TRAIN


def test_nothing_is_left_over_in_the_run_folder(apply_to: ApplyTo, run: OpenRun) -> None:
    apply_to(FakeRecipe(), with_held_out=True)
    assert "work" not in run.folder.storage.names()


def test_applying_twice_computes_once_and_counts_no_search_team_run(apply_to: ApplyTo, run: OpenRun) -> None:
    recipe = FakeRecipe()
    apply_to(recipe)
    apply_to(recipe)
    assert recipe.ran == ["strip_markup"]
    assert Journal(run.folder.storage).count("team_run") == 0
    assert Journal(run.folder.storage).count("apply_team_run") == 1


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"strategy": "claening"}, "unknown team 'claening', did you mean 'cleaning'"),
        ({"source": "other.jsonl"}, "--input needs --output"),
        ({"source": "data.jsonl", "output": "o", "with_held_out": True}, "takes no --all"),
        ({"source": "nowhere.jsonl", "output": "o"}, "'nowhere.jsonl' does not exist"),
        ({"source": "data.jsonl", "output": "run/processed"}, "processed is for the run's own rows"),
        ({"source": "data.jsonl", "output": "data.jsonl"}, "data.jsonl is the input itself"),
        ({"output": "data.jsonl"}, "data.jsonl is the input itself"),
        ({"output": "out.csv"}, "ends in .csv, but rows keep the format that they came in: end it in .jsonl"),
    ],
)
def test_what_is_wrong_is_said_before_ray_is_asked_for(run: OpenRun, what: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        prepare_application(run, **what)  # type: ignore[arg-type]


@pytest.mark.parametrize("result", [None, RunResult(status="interrupted"), RunResult(status="running")])
def test_a_run_that_is_not_finished_cannot_be_applied(run: OpenRun, result: RunResult | None) -> None:
    run.folder.storage.delete("result.json")
    if result is not None:
        run.folder.write_result(result)
    with pytest.raises(InputError, match="is not finished; go on with autodp run --resume"):
        prepare_application(run)


def test_the_text_says_where_the_rows_went(apply_to: ApplyTo) -> None:
    work = dropping(2, **{"dropped:short": 2, "stripped:answer": 1200, "generated": 0})
    lines = [" ".join(line.split()) for line in apply_to(work).text().splitlines()]
    assert lines[0].startswith("applied cleaning in ")
    assert lines[1:4] == ["in 41", "out 20", "dropped 2 short 2"]
    assert lines[5:8] == ["held out 18", "generated 0", "in = out + dropped + quarantined + held out - generated"]
    assert lines[8] == "counted: stripped:answer 1,200"
