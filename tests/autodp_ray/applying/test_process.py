"""A strategy on a dataset without a run: accounts, whose output it is, what goes on and what starts anew. No Ray."""

from __future__ import annotations

import errno
import functools
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

import autodp_ray
from actors.storage.folder_lock import folder_lock
from actors.storage.storage import Storage
from autodp_ray.applying import engine
from autodp_ray.applying import process as process_module
from autodp_ray.applying.accounts import Applied
from autodp_ray.applying.process import ProcessOptions, prepare_processing, process
from autodp_ray.cluster.ray import Cluster
from autodp_ray.progress import Silent
from autodp_ray.strategies.processing import Processor
from operators.contract.errors import EndpointError, InputError, RunError
from tests.autodp_ray.run_fakes import FakeRecipe, lock_held, model_folder, pair, write_jsonl
from tests.little_room import room_for

CLUSTER = Cluster(is_own=False, num_nodes=1, num_cpus=2, num_gpus=0, hosts=frozenset())
NUM_ROWS = 30
COLUMNS = ("dataset.columns.question=reason", "dataset.columns.answer=raw")
"""Of a file of quarantined rows."""
Act = Callable[..., Applied]


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.phases: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def phase(self, name: str, *, strategy: str | None = None) -> None:
        self.phases.append(name)


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeRecipe:
    """Stands in for Ray's part; `data.jsonl` has thirty rows and a broken line."""

    @contextmanager
    def connected() -> Iterator[Cluster]:
        yield CLUSTER

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process_module, "connected", connected)
    found = FakeRecipe()
    monkeypatch.setattr(engine, "Processor", functools.partial(Processor, apply_recipe=found))
    write_jsonl(tmp_path / "data.jsonl", [*(pair(number) for number in range(NUM_ROWS)), "{broken"])
    model_folder(tmp_path)
    return found


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def act(recipe: FakeRecipe, notes: Notes) -> Act:
    def act(**what: object) -> Applied:
        return process(options(**what), progress=notes)

    return act


def options(**what: object) -> ProcessOptions:
    given = {"data": "data.jsonl", "strategy": "cleaning", "output": "out.jsonl", **what}
    overrides = ("models.tuned.model=./model", *given.pop("overrides", ()))  # type: ignore[misc]
    return ProcessOptions(overrides=overrides, **given)  # type: ignore[arg-type]


def written(applied: Applied) -> list[dict[str, str]]:
    return [json.loads(line) for file in applied.files for line in Path(file).read_text().splitlines()]


def balance(applied: Applied) -> int:
    return applied.rows_out + sum(applied.dropped.values()) + applied.quarantined - applied.generated


def files_here() -> set[str]:
    return {str(path.relative_to(Path.cwd())) for path in Path.cwd().rglob("*") if path.is_file()}


def test_rows_are_accounted_for_and_keep_their_form(act: Act, recipe: FakeRecipe) -> None:
    recipe.change = lambda table, name: table.slice(4)
    recipe._counts = {"dropped:short": 3, "dropped:near_duplicate": 1, "rejected:empty": 2}
    done = act()
    assert (done.rows_in, done.rows_out, done.quarantined, done.held_out) == (31, 26, 1, 0)
    assert done.dropped == {"near_duplicate": 1, "short": 3}
    assert done.quarantine_reasons == {"invalid JSON": 1}
    assert balance(done) == done.rows_in
    assert written(done) == [pair(number) for number in range(4, NUM_ROWS)]
    assert files_here() == {
        "data.jsonl",
        "out.jsonl",
        ".out.jsonl.autodp.json",
        "out.jsonl.quarantine.jsonl",
        "model/config.json",
        "model/model.safetensors",
    }


def test_parts_are_large_unless_a_model_looks_at_the_rows(
    act: Act, recipe: FakeRecipe, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.data.pool_config.WANTED_PARTS", 1)
    recipe.failing["strip_markup"] = RunError("stopped here")
    with pytest.raises(RunError, match="stopped here"):
        act(overrides=("pool.part_rows=7",))
    assert len(list(Path.cwd().glob(".out.jsonl.autodp-work/input-*/rows/part-*"))) <= 2
    assert "starting the models" not in notes.phases


def test_generated_rows_are_accounted_for(act: Act, recipe: FakeRecipe) -> None:
    def grow(table: pa.Table, name: str) -> pa.Table:
        new = table.slice(0, 6)
        ids = pa.array([f"new-{at}" for at in range(6)], pa.string())
        return pa.concat_tables([table, new.set_column(0, table.schema.field("id"), ids)])

    recipe.change, recipe._counts = grow, {"generated": 6}
    done = act()
    assert (done.rows_out, done.generated) == (NUM_ROWS + 6, 6)
    assert balance(done) == done.rows_in


def test_without_room_for_a_file_the_same_command_goes_on_when_there_is_some_and_leaves_nothing_else(
    act: Act, recipe: FakeRecipe
) -> None:
    act()
    names = files_here()
    whole = {name: Path(name).read_bytes() for name in ("out.jsonl", "out.jsonl.quarantine.jsonl")}
    for name in (*whole, ".out.jsonl.autodp.json"):
        Path(name).unlink()
    failed: list[tuple[int, int | None]] = []
    for num_bytes in (10, 100, 300, 1000, 3000, 10_000, 100_000):
        with room_for(num_bytes):
            try:
                act()
            except OSError as error:
                failed.append((num_bytes, error.errno))
    assert len(failed) >= 5
    assert {number for _, number in failed} == {errno.EFBIG}
    assert {name: Path(name).read_bytes() for name in whole} == whole
    assert files_here() == names


def test_rows_that_do_not_add_up_are_a_fault_and_no_output(act: Act, recipe: FakeRecipe) -> None:
    recipe.change = lambda table, name: table.slice(1)
    recipe._counts = {"dropped:short": 2}
    with pytest.raises(RunError, match="rows do not add up: 31 went in"):
        act()


def test_the_same_command_again_does_nothing_and_says_so(act: Act, recipe: FakeRecipe, notes: Notes) -> None:
    first = act()
    before = Path("out.jsonl").stat().st_mtime_ns
    assert act() == first
    assert recipe.ran == ["strip_markup"]
    assert Path("out.jsonl").stat().st_mtime_ns == before
    assert notes.notes[-1].endswith("out.jsonl is whole: the same command made it before")
    Path("out.jsonl").unlink()
    assert act().rows_out == first.rows_out
    assert len(written(first)) == first.rows_out


@pytest.mark.parametrize(
    ("what", "key"),
    [
        ({"strategy": "none"}, "strategy, teams.cleaning"),
        ({"overrides": ("dataset.limit=5",)}, "dataset.limit"),
        ({"overrides": ("teams.cleaning=[{name: token_count, max_tokens: 9}]",)}, "teams.cleaning"),
    ],
)
def test_what_has_changed_is_said_and_the_output_made_anew(
    act: Act, recipe: FakeRecipe, notes: Notes, what: dict[str, object], key: str
) -> None:
    act()
    first = Path("out.jsonl").read_bytes()
    done = act(**what)
    assert f"out.jsonl is made anew: {key} differ from before" in " ".join(notes.notes)
    assert Path("out.jsonl").read_bytes() != first
    assert len(written(done)) == done.rows_out


def test_a_changed_input_is_read_anew_and_one_that_was_only_touched_is_not_processed_again(
    act: Act, recipe: FakeRecipe, notes: Notes
) -> None:
    recipe.failing["strip_markup"] = EndpointError("gone")
    with pytest.raises(EndpointError):
        act()
    recipe.failing.clear()
    write_jsonl(Path("data.jsonl"), [pair(number) for number in range(7)])
    done = act()
    assert (done.rows_in, done.quarantined, done.quarantine_file) == (7, 0, None)
    assert not Path("out.jsonl.quarantine.jsonl").exists()
    os.utime("data.jsonl", ns=(1, 1))
    assert act() == done.model_copy(update={"seconds": act().seconds})
    assert "input differ from before" in " ".join(notes.notes)


def test_what_is_done_is_not_done_again(act: Act, recipe: FakeRecipe, notes: Notes) -> None:
    chat = tuple(f"models.operators.{each}" for each in ("model=m", "engine=endpoint", "base_url=http://127.0.0.1:9"))
    teams = ("teams.optimization=[{name: token_count}]", "teams.generation=[{name: deduplicate}]", *chat)
    recipe.failing["deduplicate"] = RunError("the disk is full")
    with pytest.raises(RunError, match="disk is full"):
        act(strategy="cleaning>generation>optimization", overrides=teams)
    assert Path(".out.jsonl.autodp-work").is_dir()
    recipe.failing.clear()
    done = act(strategy="cleaning>generation>optimization", overrides=teams)
    assert recipe.ran == ["strip_markup", "deduplicate", "deduplicate", "token_count"]
    assert not Path(".out.jsonl.autodp-work").exists()
    assert written(done)[0]["output"].endswith("strip_markup deduplicate token_count")


@pytest.mark.parametrize("output", ["theirs.jsonl", "theirs", "data.jsonl", "other.jsonl"])
def test_what_others_wrote_is_never_touched(act: Act, output: str) -> None:
    write_jsonl(Path("theirs.jsonl"), [pair(1)])
    Path("other.jsonl.quarantine.jsonl").write_text("mine")
    Path("theirs").mkdir()
    Path("theirs/thesis.tex").write_text("mine")
    before = {name: Path(name).read_bytes() for name in files_here()}
    with pytest.raises(InputError, match=r"is there already, and no autodp process wrote it|is the input itself"):
        act(output=output)
    assert {name: Path(name).read_bytes() for name in files_here()} == before


def test_an_output_that_somebody_changed_is_left_alone(act: Act) -> None:
    act()
    with Path("out.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match=r"out\.jsonl was changed after it was written"):
        act(strategy="none")


def test_what_somebody_put_among_the_files_of_an_output_is_not_deleted(act: Act) -> None:
    act(output="out")
    Path("out/notes.txt").write_text("mine")
    act(output="out", strategy="none")
    Path("out/data-00001.csv").write_text("mine")
    for strategy in ("none", "cleaning"):
        with pytest.raises(InputError, match=r"out: data-00001\.csv was put there after it was written; nothing was"):
            act(output="out", strategy=strategy)
    assert sorted(os.listdir("out")) == [".autodp.json", "_quarantine", "data-00001.csv", "data.jsonl", "notes.txt"]


def test_an_output_in_the_input_is_refused(act: Act) -> None:
    Path("in").mkdir()
    Path("data.jsonl").rename("in/data.jsonl")
    with pytest.raises(InputError, match="lies in it"):
        act(data="in", output="in/out")
    with pytest.raises(InputError, match="lies in it"):
        act(data="in/*.jsonl", output="in/out.jsonl")
    assert act(data="in/d*.jsonl", output="in/out.jsonl").rows_in == NUM_ROWS + 1
    assert act(data="in/d*.jsonl", output="in/out").rows_in == NUM_ROWS + 1
    with pytest.raises(InputError, match="lies in it"):
        act(data="in/**", output="in/out2")


def test_quarantined_rows_are_no_input_of_the_next_command_and_each_outputs_own(act: Act) -> None:
    one, other = act(output="made/out.jsonl"), act(output="made/out.jsonl.gz")
    assert one.quarantined == other.quarantined == 1
    assert one.quarantine_file != other.quarantine_file
    again = act(data="made/*.jsonl", output="again.jsonl")
    assert (again.rows_in, again.quarantined) == (one.rows_out, 0)
    assert act(data=str(one.quarantine_file), output="theirs.jsonl", strategy="none", overrides=COLUMNS).rows_in == 1


def test_two_commands_at_the_same_output_do_not_meet(act: Act) -> None:
    Path(".out.jsonl.autodp-work").mkdir()
    held = lock_held(Path(".out.jsonl.autodp-work/.lock"))
    with held, pytest.raises(InputError, match="is being made by another process"):
        act()


def test_unfinished_work_lies_where_it_is_told_to(act: Act, recipe: FakeRecipe) -> None:
    recipe.failing["strip_markup"] = RunError("no")
    with pytest.raises(RunError):
        act(output="made/out", work="scratch")
    assert [name.partition("-out-")[0] for name in os.listdir("scratch")] == ["autodp-work"]
    assert not list(Path("made").glob(".*work"))
    recipe.failing.clear()
    done = act(output="made/out", work="scratch")
    assert os.listdir("scratch") == []
    assert done.files == (str(Path.cwd() / "made/out/data.jsonl"),)
    assert Path("made/out/_quarantine/quarantine.jsonl").exists()
    assert act(data="made/out", output="again", strategy="none").rows_in == NUM_ROWS


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"strategy": "claening"}, "unknown team 'claening', did you mean 'cleaning'"),
        ({"data": "nowhere.jsonl"}, "'nowhere.jsonl' does not exist"),
        ({"strategy": "selection"}, "select_by_gradient compares rows with the guide rows .* so selection needs a run"),
        ({"strategy": "cleaning>generation"}, "generate_question, .* ask a chat model, and none is named"),
        ({"overrides": ("models.tuned.model=./nowhere",)}, "token_count counts tokens as models.tuned does"),
        ({"output": "s3://bucket"}, "is a whole bucket"),
        ({"config_path": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_said_before_rows_are_read(recipe: FakeRecipe, what: dict[str, object], said: str) -> None:
    before = files_here()
    with pytest.raises(InputError, match=said):
        prepare_processing(options(**what))
    assert files_here() == before


def test_an_output_of_another_format_is_refused_and_nothing_of_it_begun(act: Act) -> None:
    with pytest.raises(InputError, match=r"ends in .csv, but rows keep the format that they came in"):
        act(output="out.csv")


def test_a_configs_teams_and_ways_of_reading_hold(act: Act, recipe: FakeRecipe) -> None:
    endpoint = {"model": "m", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
    config = {
        "dataset": {"path": "elsewhere.csv", "columns": {"question": "ask", "answer": "reply"}},
        "models": {"agent": endpoint, "operators": endpoint, "tuned": {"model": "./model"}},
        "teams": {"mine": [{"name": "deduplicate"}]},
    }
    Path("config.yaml").write_text(json.dumps(config))
    Path("more.csv").write_text("ask,reply,topic\nq one,a one,t\nq two,a two,t\n")
    done = act(data="more.csv", output="done.csv", strategy="mine", config_path="config.yaml")
    assert recipe.ran == ["deduplicate"]
    assert Path(done.files[0]).read_text().splitlines()[:2] == [
        '"ask","reply","topic"',
        '"q one","a one deduplicate","t"',
    ]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("dataset.columns.question=instructon", "instructon"),
        ("dataset.form=chat", "chat"),
        ("dataset.field=rows", "rows"),
        ("dataset.delimiter=;", "form"),
    ],
)
def test_what_is_said_of_a_dataset_is_never_passed_over(act: Act, setting: str, said: str) -> None:
    suffix = {"dataset.field=rows": "json", "dataset.delimiter=;": "csv"}.get(setting, "jsonl")
    rows = [pair(1), pair(2)]
    text = {"json": json.dumps(rows), "csv": "question,answer\nq,a\n"}.get(suffix, "\n".join(map(json.dumps, rows)))
    Path(f"said.{suffix}").write_text(text)
    act(data=f"said.{suffix}", output=f"plain.{suffix}")
    with pytest.raises(InputError, match=said):
        act(data=f"said.{suffix}", output=f"out.{suffix}", overrides=(setting,))


def test_a_config_says_no_more_than_what_it_changes(act: Act, recipe: FakeRecipe) -> None:
    Path("config.yaml").write_text("teams: { mine: [{ name: deduplicate }] }\nmodels: { tuned: { model: ./model } }\n")
    act(strategy="mine", config_path="config.yaml")
    assert recipe.ran == ["deduplicate"]
    with pytest.raises(InputError, match=r"ask a chat model, and none is named: name it under models\.operators"):
        prepare_processing(options(strategy="generation", config_path="config.yaml"))
    Path("config.yaml").write_text("models: nothing\n")
    with pytest.raises(InputError, match=r"config\.yaml: models"):
        prepare_processing(options(config_path="config.yaml"))


def test_the_python_function_gives_the_accounts(recipe: FakeRecipe) -> None:
    done = autodp_ray.process(
        "data.jsonl", strategy="cleaning", output="o.jsonl", overrides=["models.tuned.model=./model"]
    )
    assert (done.rows_in, done.rows_out) == (NUM_ROWS + 1, NUM_ROWS)


def test_a_bucket_is_read_and_written_and_nothing_is_left_in_it(act: Act, s3_bucket: Storage, tmp_path: Path) -> None:
    place = s3_bucket.folder(f"process-{tmp_path.name}")
    place.write_bytes("in/data.jsonl", Path("data.jsonl").read_bytes())
    done = act(data=place.uri("in"), output=place.uri("out"))
    assert (done.rows_in, done.rows_out) == (NUM_ROWS + 1, NUM_ROWS)
    assert place.files("out") == [".autodp.json", "_quarantine/quarantine.jsonl", "data.jsonl"]
    assert place.names() == ["in", "out"]
    assert act(data=place.uri("in"), output=place.uri("out")) == done


def test_two_commands_at_one_output_in_a_bucket_do_not_meet(act: Act, s3_bucket: Storage, tmp_path: Path) -> None:
    place = s3_bucket.folder(f"meet-{tmp_path.name}")
    work = place.folder(".out.autodp-work")
    held = folder_lock(work, ".lock", busy="held by the test")
    with held, pytest.raises(InputError, match="is being made by another process"):
        act(output=place.uri("out"))
    assert place.files("out") == []
    assert act(output=place.uri("out")).rows_out == NUM_ROWS
    assert place.names() == ["out"]
