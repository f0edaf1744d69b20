"""What a user does wrong is answered with one clear line and exit code 2, at once: no Ray is started for it."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest
import ray
import yaml
from typer.testing import CliRunner, Result

from actors.storage.storage import Storage
from autodp_ray.cli.main import app
from autodp_ray.result import RunResult
from autodp_ray.run_contents import LOCK
from autodp_ray.runs import evaluation as run_evaluation
from autodp_ray.runs.open_run import RunOptions, open_run
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import config_values, lock_held, model_folder, pair, write_jsonl


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a good dataset, in which nothing can start Ray."""

    def refuse(*arguments: object, **settings: object) -> None:
        raise AssertionError("Ray is started although the input is wrong")

    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(40)])
    return tmp_path


def autodp(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def config(data: str = "data.jsonl", **sections: object) -> str:
    path = f"{uuid.uuid4().hex}.yaml"
    Path(path).write_text(yaml.safe_dump(config_values(data, **sections)))
    return path


def said(result: Result, *, code: int = 2) -> str:
    """The one line of a failed command."""
    assert result.exit_code == code, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("autodp: ")]
    assert len(lines) == 1, result.stderr
    assert all(re.match(r"\d{4}-\d\d-\d\d |autodp: ", line) for line in result.stderr.splitlines()), result.stderr
    return lines[0].removeprefix("autodp: ")


def text_file(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


def test_a_missing_config_file() -> None:
    line = said(autodp("run", "nowhere.yaml"))
    assert line == "there is no file 'nowhere.yaml'; `autodp init DATA` writes a config to start from"


def test_no_config_at_all() -> None:
    assert said(autodp("run")) == "say which run: autodp run CONFIG, or autodp run --resume RUN_DIR"


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_missing_data_file(command: str) -> None:
    line = said(autodp(command, config("nowhere.jsonl")))
    assert "'nowhere.jsonl' does not exist; dataset.path takes a file, folder, glob, URI" in line


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_empty_data_file(command: str) -> None:
    assert "'empty.jsonl' is empty: there is no row to read" in said(
        autodp(command, config(text_file("empty.jsonl", "")))
    )


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_unknown_format(command: str) -> None:
    line = said(autodp(command, config(text_file("data.dat", "a\tb\n1\t2\n"))))
    assert "cannot tell the format of" in line
    assert "name one of jsonl, json, parquet, arrow, csv with dataset.format" in line


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_unknown_config_key_names_the_nearest(command: str) -> None:
    path = config(serch={"max_rounds": 3})
    assert said(autodp(command, path)) == f"{path}: unknown key serch; did you mean search?"
    path = config()
    assert "unknown key search.max_round; did you mean max_rounds?" in said(
        autodp(command, path, "--set", "search.max_round=3")
    )


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_column_that_is_not_there(command: str) -> None:
    dataset = {"path": "data.jsonl", "form": "columns", "columns": {"question": "frage", "answer": "output"}}
    line = said(autodp(command, config(dataset=dataset)))
    assert "frage" in line
    assert "instruction" in line


@pytest.mark.parametrize("command", ["run", "plan"])
def test_no_row_that_can_be_parsed(command: str) -> None:
    line = said(autodp(command, config(text_file("broken.jsonl", "{a\n{b\n"))))
    assert "no row of 'broken.jsonl' can be read" in line
    assert "line 1" in line


@pytest.mark.parametrize("command", ["run", "plan"])
def test_fewer_rows_than_the_splits_need(command: str) -> None:
    write_jsonl(Path("few.jsonl"), [pair(number) for number in range(12)])
    line = said(autodp(command, config("few.jsonl")))
    assert "too few rows for its splits: 12 rows" in line
    assert "lower splits.test" in line


@pytest.mark.parametrize("command", ["run", "plan"])
def test_an_unknown_strategy_name(command: str) -> None:
    line = said(autodp(command, config(), "--strategies", "cleaning,optimisation>generation"))
    assert "unknown team 'optimisation', did you mean 'optimization'?" in line


@pytest.mark.parametrize("command", ["run", "plan"])
def test_ids_that_are_there_twice(command: str) -> None:
    rows = [{"id": f"r{number % 39}", **pair(number)} for number in range(40)]
    write_jsonl(Path("twice.jsonl"), rows)
    line = said(autodp(command, config("twice.jsonl")))
    assert "two rows have the id 'r0'" in line
    assert "line 1 and" in line
    assert "line 40" in line
    assert "dataset.ids: make" in line


def test_a_run_folder_in_use_by_another_run() -> None:
    Path("mine").mkdir()
    with lock_held(Path("mine") / LOCK):
        line = said(autodp("run", config(), "--run-dir", "mine"))
    assert "mine is in use by another run; wait for it, stop it, or choose another folder" in line


def test_a_run_folder_of_another_config() -> None:
    open_run(RunOptions(config_path=config(), run_dir="mine")).finished_result()
    line = said(autodp("run", config(search={"max_rounds": 2}), "--run-dir", "mine"))
    assert "holds a run of another config (search.max_rounds differ); choose another folder, or" in line


def test_a_run_folder_that_is_something_else() -> None:
    Path("model").mkdir()
    Path("model/config.json").write_text('{"architectures": []}')
    for fresh in ([], ["--fresh"]):
        assert "config.json is not a run's; choose another folder" in said(
            autodp("run", config(), "--run-dir", "model", *fresh)
        )
    assert Path("model/config.json").exists()


def test_fresh_in_the_current_folder_deletes_no_file_of_the_users() -> None:
    Path("thesis.tex").write_text("years of work")
    said(autodp("run", config("nowhere.jsonl"), "--run-dir", ".", "--fresh"))
    assert Path("thesis.tex").exists()
    assert Path("data.jsonl").exists()


def test_a_ray_job_without_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    line = said(autodp("run", config()))
    assert "say where they belong with --set storage=/absolute/path or --set storage=s3://bucket/prefix" in line
    line = said(autodp("run", config(storage="/data/autodp"), "--run-dir", "mine"))
    assert line == "the run folder 'mine' is relative; inside a Ray job it must be an absolute path or URI"


@pytest.mark.parametrize("command", ["report", "apply"])
def test_a_folder_that_holds_no_run(command: str) -> None:
    assert "nowhere holds no run (there is no config.json); check the path" in said(autodp(command, "nowhere"))
    assert not Path("nowhere").exists()


def test_a_run_that_is_not_finished_cannot_be_applied_or_reported() -> None:
    open_run(RunOptions(config_path=config(), run_dir="mine")).finished_result()
    assert "mine is not finished; go on with autodp run --resume" in said(autodp("apply", "mine"))
    assert "mine has no result.json yet" in said(autodp("report", "mine"))


def test_init_of_a_file_that_is_not_there_or_would_be_overwritten() -> None:
    assert "'nowhere.jsonl' does not exist" in said(autodp("init", "nowhere.jsonl"))
    text_file("config.yaml", "mine")
    assert said(autodp("init", "data.jsonl", "--output", "config.yaml")).startswith("config.yaml is there already")
    assert Path("config.yaml").read_text() == "mine"
    line = said(autodp("init", "data.jsonl", "--output", "nowhere/config.yaml"))
    assert line == "nowhere/config.yaml cannot be written: No such file or directory; choose another path"


def test_a_page_of_others_is_refused_before_a_sample_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autodp_ray.cluster.ray.connected", lambda: pytest.fail("Ray was started"))
    text_file("page.html", "mine")
    assert said(autodp("sample", config(), "--plot", "page.html")).startswith("page.html is there already")
    assert "cannot be written" in said(autodp("sample", config(), "--plot", "nowhere/page.html"))


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("run CONFIG --run-dir", "an empty path names no folder"),
        ("process data.jsonl --strategy none --output", "an empty path names no folder"),
        ("process data.jsonl --strategy none --output out --work", "an empty path names no folder"),
        ("process data.jsonl --strategy cleaning --output out --index", "an empty path names no folder"),
        ("screen train CONFIG --output", "an empty path names no folder"),
        ("screen apply CONFIG --output", "an empty path names no folder"),
        ("apply", "an empty path names no folder"),
        ("report", "an empty path names no folder"),
        ("process --strategy none --output out", "dataset.path: must not be empty"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(command: str, name: str) -> None:
    asked = command.replace("CONFIG", config()).split()
    before = sorted(Path().rglob("*"))
    assert name in said(autodp(*asked, ""))
    assert sorted(Path().rglob("*")) == before


def test_an_output_of_another_format_and_a_screening_without_screener_need_no_ray() -> None:
    path = config()
    told = said(autodp("process", "data.jsonl", "--strategy", "none", "--output", "out.csv"))
    assert "out.csv ends in .csv, but rows keep the format that they came in: end it in .jsonl" in told
    screen = ("screen", "apply", path, "--output", "verdicts")
    assert "which screener?" in said(autodp(*screen))
    assert "holds no screener" in said(autodp(*screen, "--screener", "nowhere"))
    assert "does not exist" in said(autodp("sample", path, "--set", "dataset.path=nowhere.jsonl"))
    assert {each.name for each in Path().iterdir()} == {path, "data.jsonl"}


def test_init_can_be_told_how_to_read_what_it_cannot_tell() -> None:
    text_file("odd.csv", "ask,reply\nq,a\n")
    assert "cannot tell the form of" in said(autodp("init", "odd.csv"))
    text_file("cased.csv", "Question,Answers\nq,a\n")
    told_names = said(autodp("init", "cased.csv"))
    assert "it has Question for question, Answers for answer" in told_names
    told = autodp("init", "odd.csv", "--set", "dataset.columns.question=ask", "--set", "dataset.columns.answer=reply")
    assert told.exit_code == 0
    assert yaml.safe_load(told.stdout)["dataset"]["columns"] == {"question": "ask", "answer": "reply"}


def test_the_config_that_init_writes_can_be_planned() -> None:
    endpoint = "{model: m, engine: endpoint, base_url: 'http://x/v1'}"
    models = [f"models.{name}={endpoint}" for name in ("agent", "operators")]
    models.append(f"models.tuned.model={model_folder(Path.cwd())}")
    assert "next: autodp plan config.yaml" in autodp("init", "data.jsonl", "--output", "config.yaml").stdout
    sets = [part for each in [*models, "search.teams=[cleaning]"] for part in ("--set", each)]
    planned = autodp("plan", "config.yaml", *sets)
    assert planned.exit_code == 0, planned.output
    assert "trainings: at most" in planned.stdout


def test_an_override_that_is_no_assignment() -> None:
    assert said(autodp("plan", config(), "--set", "search.max_rounds")).startswith("--set takes KEY=VALUE")


def test_for_machines_the_line_is_json_on_standard_output_too() -> None:
    result = autodp("run", "nowhere.yaml", "--json")
    assert json.loads(result.stdout) == {"error": said(result)}


def test_a_wrong_dataset_leaves_a_failed_run_with_its_reason() -> None:
    line = said(autodp("run", config("nowhere.jsonl"), "--run-dir", "mine"))
    result = RunResult.from_json(Path("mine/result.json").read_text())
    assert (result.status, result.error) == ("failed", line)


def test_a_line_quotes_no_row() -> None:
    rows = [{"id": "same", "instruction": f"canary-q{n}", "output": f"canary-a{n}"} for n in range(40)]
    write_jsonl(Path("canary.jsonl"), rows)
    assert "canary-" not in said(autodp("run", config("canary.jsonl")))


def test_an_endpoint_that_does_not_answer() -> None:
    path, at_once = config(), [f"models.{role}.max_retries=0" for role in ("agent", "operators")]
    line = said(autodp("run", path, *(word for one in at_once for word in ("--set", one))))
    assert line.startswith("models.agent: the model endpoint http://127.0.0.1:9/v1 did not answer in 1 attempts")


def test_a_run_that_fails_for_another_reason_exits_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*arguments: object, **settings: object) -> None:
        raise ConnectionError("refused")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # whatever Ray other tests of the session share
    monkeypatch.setattr(ray, "init", unreachable)
    monkeypatch.setattr(run_evaluation, "require_endpoints", lambda *given, **needs: None)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    line = said(autodp("run", config(), "--run-dir", "mine"), code=1)
    assert line == "cannot reach the Ray cluster at 10.0.0.1:6379: refused"
    assert RunResult.from_json(Path("mine/result.json").read_text()).status == "failed"


def test_the_python_api_raises_what_the_command_line_prints_every_time_it_is_called() -> None:
    import autodp_ray

    for _ in range(2):
        with pytest.raises(InputError, match=r"there is no file 'nowhere\.yaml'"):
            autodp_ray.run("nowhere.yaml")


def test_a_finished_run_of_the_same_config_returns_its_result_without_ray() -> None:
    path = config()
    run = open_run(RunOptions(config_path=path, run_dir="mine"))
    run.finished_result()
    done = RunResult(status="done", claim="none", best_strategy="none", stop_reason="max_rounds")
    run.folder.write_result(done)
    result = autodp("run", path, "--run-dir", "mine", "--json")
    assert result.exit_code == 0
    assert RunResult.from_json(result.stdout) == done
    assert "claim: none" in autodp("run", path, "--run-dir", "mine").stdout
    assert Storage.at("mine").names() == [".lock", "config.json", "result.json"]


def test_no_module_takes_the_place_of_the_python_api() -> None:
    import autodp_ray
    import autodp_ray.runs.launch

    assert callable(autodp_ray.run)


def test_log_lines_are_json_where_json_is_asked_for() -> None:
    run = ("run", config("nowhere.jsonl"), "--run-dir")
    plain, as_json = autodp(*run, "plain"), autodp("--log-format", "json", *run, "json")
    assert "{" not in plain.stderr
    *lines, last = as_json.stderr.splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["phase"] * len(lines)
    assert lines
    assert last.startswith("autodp: ")
