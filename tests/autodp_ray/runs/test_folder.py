"""A run's folder: locked by one process, true to one config, cleared of nothing that is not its own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.storage.row_memo import RowMemo
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import storage_locations
from autodp_ray.config.run_config import Config, load_config
from autodp_ray.journal import Journal
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.quarantine import Quarantine
from autodp_ray.result import RunResult
from autodp_ray.run_contents import CONFIG, LOCK
from autodp_ray.runs.exports import note_export
from autodp_ray.runs.folder import RunFolder
from autodp_ray.runs.provenance import versions
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import config_values, lock_held, make_config


def opened(path: Path, config: Config | None = None, *, strategies: str | None = None) -> RunFolder:
    folder = RunFolder(Storage.at(path))
    folder.open(
        config or make_config("data.jsonl"), config_path="run.yaml", strategies=strategies, cache=Storage.at("/cache")
    )
    return folder


def test_a_folder_that_another_process_holds_is_refused_until_that_process_is_gone(tmp_path: Path) -> None:
    said = "is in use by another run; wait for it, stop it, or choose another"
    with lock_held(tmp_path / LOCK), pytest.raises(InputError, match=said):
        RunFolder(Storage.at(tmp_path)).locked().__enter__()
    with RunFolder(Storage.at(tmp_path)).locked():
        assert (tmp_path / LOCK).exists()


def test_the_lock_is_given_back_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), RunFolder(Storage.at(tmp_path)).locked():
        raise ZeroDivisionError
    with RunFolder(Storage.at(tmp_path)).locked():
        pass


def test_a_file_in_the_place_of_the_folder_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(InputError, match="run cannot be a folder: File exists; choose another path"):
        RunFolder(Storage.at(tmp_path / "run")).locked().__enter__()


def test_a_folder_at_a_uri_is_locked_too() -> None:
    folder = RunFolder(Storage.at(f"fsspec+memory://run-{uuid.uuid4().hex}/r"))
    with folder.locked():
        assert not folder.is_started
        with pytest.raises(InputError, match="is in use by another run"):
            folder.locked().__enter__()
    with folder.locked():
        pass


def test_config_json_says_what_runs_and_reads_back_as_the_same_config(tmp_path: Path) -> None:
    config = make_config("data.jsonl", search={"max_rounds": 2}, teams={"cleaning": [{"name": "token_count"}]})
    folder = opened(tmp_path, config, strategies="cleaning")
    again = RunFolder(Storage.at(tmp_path))
    assert again.config() == config
    assert again.given_strategies() == "cleaning"
    assert again.cache_storage(config) == Storage.at("/cache")
    assert again.run_id == folder.run_id
    body = json.loads((tmp_path / CONFIG).read_text())
    assert body["versions"]["ray"] == versions()["ray"]
    assert body["config_path"] == "run.yaml"
    assert "git_commit" in body


def test_opening_the_same_config_again_changes_nothing(tmp_path: Path) -> None:
    first = opened(tmp_path).run_id
    before = (tmp_path / CONFIG).read_bytes()
    assert opened(tmp_path).run_id == first
    assert (tmp_path / CONFIG).read_bytes() == before


def test_two_runs_have_ids_of_their_own(tmp_path: Path) -> None:
    assert opened(tmp_path / "a").run_id != opened(tmp_path / "b").run_id


@pytest.mark.parametrize(
    ("sections", "differing"),
    [
        ({"search": {"max_rounds": 2}}, "search.max_rounds"),
        ({"training": {"lora": {"rank": 4}}}, "training.lora.rank"),
        (
            {"budget": {"tokens": 5}, "seed": 3},
            "budget.tokens, evaluation.seed, sampling.seed, screener.train.corruption.seed, screener.train.seed, "
            "search.seed, splits.seed, teams.cleaning, teams.generation, teams.optimization, teams.selection",
        ),
        ({"teams": {"cleaning": [{"name": "token_count"}]}}, "teams.cleaning"),
        ({"dataset": {"path": "other.jsonl", "language": "en"}}, "dataset.path"),
    ],
)
def test_another_config_is_refused_with_the_keys_that_differ(
    tmp_path: Path, sections: dict[str, object], differing: str
) -> None:
    opened(tmp_path)
    with pytest.raises(InputError) as caught:
        opened(tmp_path, make_config("data.jsonl", **sections))
    assert f"holds a run of another config ({differing} differ)" in str(caught.value)
    assert "--fresh" in str(caught.value)


def test_other_given_strategies_are_another_run(tmp_path: Path) -> None:
    opened(tmp_path, strategies="cleaning")
    with pytest.raises(InputError, match=r"another config \(strategies differ\)"):
        opened(tmp_path)


def test_a_spelled_out_default_is_the_same_config(tmp_path: Path) -> None:
    opened(tmp_path)
    opened(tmp_path, make_config("data.jsonl", search={"max_rounds": 5, "num_strategies": 4}))


@pytest.mark.parametrize("text", ["{", "[]", '{"architectures": ["LlamaForCausalLM"]}'])
def test_the_config_json_of_something_else_is_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / CONFIG).write_text(text)
    for act in (lambda: opened(tmp_path), RunFolder(Storage.at(tmp_path)).clear):
        with pytest.raises(InputError, match=r"config\.json is not a run's; choose another folder"):
            act()
    assert (tmp_path / CONFIG).read_text() == text


def test_a_folder_without_config_json_holds_no_run(tmp_path: Path) -> None:
    folder = RunFolder(Storage.at(tmp_path))
    assert not folder.is_started
    with pytest.raises(InputError, match=r"holds no run \(there is no config\.json\); check the path"):
        folder.describe()


def test_a_config_that_this_version_does_not_know_is_bad_input(tmp_path: Path) -> None:
    opened(tmp_path)
    body = json.loads((tmp_path / CONFIG).read_text())
    body["settings"]["config"]["search"]["patience"] = 3
    (tmp_path / CONFIG).write_text(json.dumps(body))
    with pytest.raises(InputError, match=r"config\.json: unknown key search\.patience"):
        RunFolder(Storage.at(tmp_path)).config()


def user_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


NO_RUNS = [
    ("journal/000001-prepared.json",),
    ("work/thesis.tex", "processed/data.jsonl", "training/log", "splits/train/part-000000.arrow", "report.html"),
    ("result.json",),
    ("data.jsonl",),
    ("photos/holiday.jpg",),
]


@pytest.mark.parametrize("names", NO_RUNS)
def test_a_folder_that_is_not_empty_and_holds_no_run_is_refused_and_keeps_every_file(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    for name in names:
        Storage.at(tmp_path).write_text(name, "mine")
    before = user_files(tmp_path)
    for act in (lambda: opened(tmp_path), RunFolder(Storage.at(tmp_path)).clear):
        with pytest.raises(
            InputError, match=r"is not empty and holds no run of this program: it has .*, but no config"
        ):
            act()
    assert user_files(tmp_path) == before


def test_a_folder_with_nothing_but_hidden_files_is_as_good_as_empty(tmp_path: Path) -> None:
    for name in (".gitignore", ".lock", ".tmp-half"):
        (tmp_path / name).write_text("")
    RunFolder(Storage.at(tmp_path)).clear()
    opened(tmp_path)
    assert (tmp_path / ".gitignore").exists()


OF_A_RUN = (
    "journal/000001-prepared.json",
    "splits/ids.arrow",
    "splits/layout.json",
    "splits/corruption.csv",
    "splits/train/manifest.json",
    "splits/train/part-000000.arrow",
    "quarantine/quarantine.jsonl",
    "quarantine/test/quarantine.jsonl",
    "processed/data.jsonl",
    "processed/.tmp-0123",
    "training/trainings-0123abcd/deep/checkpoint.bin",
    "work/everything/part-000000.arrow",
    "tuned/model.work/0123456789abcdef/export/adapter.safetensors",
    "tuned/model/adapter.safetensors",
    "completions.sqlite",
    "completions.sqlite-wal",
)
OF_ITS_USER = (
    "thesis.tex",
    "data/train.jsonl",
    "journal/notes.md",
    "splits/train/remarks.txt",
    "processed/final/data.jsonl",
    "processed/annotated.jsonl",
    "training/plan.md",
    "work/draft.txt",
    "tuned/model/notes.md",
    "tuned/theirs/model.safetensors",
)


def test_clearing_deletes_what_a_run_wrote_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = opened(tmp_path)
    note_export(Journal(folder.storage), folder.storage.folder("tuned/model"), ["adapter.safetensors"])
    for name in OF_A_RUN[1:]:
        folder.storage.write_text(name, "x")
    folder.write_result(RunResult(status="done"))
    folder.write_report("<html>")
    for name in OF_ITS_USER:
        folder.storage.write_text(name, "mine")
    with folder.locked():
        folder.clear()
    assert user_files(tmp_path).keys() - {LOCK} == set(OF_ITS_USER)
    assert not any(path.is_dir() and not any(path.iterdir()) for path in tmp_path.rglob("*"))
    assert f"{len(OF_ITS_USER) - 2} files are no run's and stay" in caplog.text
    assert not folder.is_started


def test_result_and_report_read_back(tmp_path: Path) -> None:
    folder = RunFolder(Storage.at(tmp_path))
    assert folder.result() is None
    folder.write_result(RunResult(status="failed", error="why"))
    assert folder.result() == RunResult(status="failed", error="why")
    folder.write_report("<p>r</p>")
    assert Path(folder.report_uri).read_text() == "<p>r</p>"


def test_config_values_of_these_tests_are_a_plain_config() -> None:
    assert set(config_values("d")) <= set(Config.model_fields)


UNREADABLE = (b"", b"\xff\xfe", b"null", b"[]", b"{}", b'{"status": "do', b'{"strategy": NaN}', b'{"more": 1}')


@pytest.mark.parametrize("content", UNREADABLE)
@pytest.mark.parametrize(
    ("name", "read", "again"),
    [
        ("result.json", RunFolder.result, "autodp run --resume"),
        ("explain.json", RunFolder.explanation, "autodp explain"),
    ],
)
def test_what_cannot_be_read_is_named_with_what_to_do_and_stays(
    tmp_path: Path, name: str, read: Callable[[RunFolder], object], again: str, content: bytes
) -> None:
    folder = opened(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} is damaged, or of another version; delete it and .* {again} "):
        read(folder)
    assert (tmp_path / name).read_bytes() == content


SECRET = "wJalrXUtnFEMI"


def secret_config(folder: Path, **sections: object) -> Config:
    """A config in a file, with a password in the address of an endpoint."""
    endpoint = {"model": "m", "engine": "endpoint", "base_url": f"http://me:{SECRET}@127.0.0.1:9/v1?api-key={SECRET}"}
    models = {"agent": endpoint, "operators": endpoint, "tuned": {"model": "m"}}
    (folder / "run.yaml").write_text(json.dumps(config_values("data.jsonl", models=models, **sections)))
    return load_config(str(folder / "run.yaml"))


def test_no_secret_goes_into_the_runs_folder_and_the_config_file_gives_it_back(tmp_path: Path) -> None:
    config = secret_config(tmp_path, storage=f"s3://KEY:{SECRET}@bucket/p")
    folder = RunFolder(Storage.at(tmp_path / "run"))
    cache = storage_locations(config.storage)[1]
    overrides = [f"storage=s3://KEY:{SECRET}@bucket/p"]
    with folder.locked():
        folder.open(config, config_path=str(tmp_path / "run.yaml"), strategies=None, cache=cache, overrides=overrides)
        folder.write_result(RunResult(status="failed", error=f"http://a:{SECRET}@h/ refused", run_dir=cache.location))
        folder.write_report(f"<p>s3://KEY:{SECRET}@bucket</p>")
    for name, data in user_files(tmp_path / "run").items():
        assert SECRET.encode() not in data, name
    again = RunFolder(Storage.at(tmp_path / "run"))
    assert again.config() == config
    assert again.cache_storage(config) == cache
    opened_again = {"config_path": "run.yaml", "strategies": None, "cache": cache}
    again.open(config, **opened_again)  # type: ignore[arg-type]
    (tmp_path / "run.yaml").unlink()
    with pytest.raises(InputError, match=r"holds no secrets, and those of models\.agent\.base_url, .* are not in"):
        again.config()


def test_a_secret_that_was_renewed_is_no_other_config(tmp_path: Path) -> None:
    config = secret_config(tmp_path)
    opened(tmp_path / "run", config)
    renewed = Config.model_validate_json(config.model_dump_json().replace(SECRET, "another"))
    assert renewed != config
    opened(tmp_path / "run", renewed)


def modes(folder: Path) -> set[str]:
    return {oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()}


def test_what_a_run_writes_is_its_users_alone_and_other_folders_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "parent").mkdir(mode=0o755)
    folder = RunFolder(Storage.at(tmp_path / "parent" / "run"))
    with folder.locked():
        opened(tmp_path / "parent" / "run")
        Journal(folder.storage).append("scored", {})
        folder.storage.write_table("splits/ids.arrow", pa.table({"id": ["r"]}))
        with Quarantine(folder.storage.folder("quarantine")) as quarantine:
            quarantine(BadRow(source="s", line=1, reason="r", raw="text"))
        RowMemo(tmp_path / "parent" / "run" / "completions.sqlite", dtype=np.float16, max_bytes=1 << 20).close()
    assert modes(tmp_path / "parent" / "run") == {"0o600"}
    folders = [
        tmp_path / "parent" / "run",
        *(path for path in (tmp_path / "parent" / "run").rglob("*") if path.is_dir()),
    ]
    assert {oct(path.stat().st_mode & 0o777) for path in folders} == {"0o700"}
    assert oct((tmp_path / "parent").stat().st_mode & 0o777) == "0o755"
    (tmp_path / "open").mkdir(mode=0o755)
    opened(tmp_path / "open")
    assert modes(tmp_path / "open") == {"0o644"}


def test_half_written_files_of_killed_writers_go_when_the_run_goes_on(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    for name in (".tmp-1", "journal/.tmp-2", "splits/train/.tmp-3"):
        folder.storage.write_text(name, "half")
    with folder.locked():
        assert user_files(tmp_path).keys() == {CONFIG, LOCK}
