"""Storage is written, read and deleted from everywhere, and is the same place everywhere."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from autodp_ray.cluster.node_answers import Answer, answer
from autodp_ray.cluster.ray import Cluster
from autodp_ray.doctor.check import Check
from autodp_ray.doctor.storages import storages
from operators.contract.errors import RunError
from tests.autodp_ray.doctor.fakes import cluster, said


@pytest.fixture(autouse=True)
def _outside_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.delenv("AUTODP_SHARED_STORAGE", raising=False)


def found(location: Path | str | None, *, at: Cluster | None = None, second: object = None) -> list[Check]:
    """Checked with one node that sees what the driver sees, and another one that says `second`."""
    extra: list[Answer[Any]] = [] if second is None else [said(second, 2)]
    place = None if location is None else str(location)
    return storages(place, at or cluster(), lambda question: [said(answer(question)), *extra])


def test_a_storage_that_can_be_used_is_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_free(monkeypatch, 10**12)
    checks = found(tmp_path)
    assert [(check.name, check.status) for check in checks] == [
        ("storage of runs", "ok"),
        ("storage of the cache", "ok"),
    ]
    assert "1000.0 GB free" in checks[0].text
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_what_a_run_will_find_there_is_its_users_alone(tmp_path: Path) -> None:
    found(tmp_path / "storage")
    assert {oct((tmp_path / "storage" / name).stat().st_mode & 0o777) for name in ("runs", "cache")} == {"0o700"}


def test_little_free_space_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_free(monkeypatch, 10**9)
    assert [check.status for check in found(tmp_path)] == ["warning", "warning"]


@pytest.mark.parametrize(("path", "said"), [("file", "is a file; name a folder"), ("file/below", "cannot be")])
def test_a_storage_that_cannot_be_written_is_a_problem(tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "file").write_text("no folder")
    checks = found(tmp_path / path)
    assert {check.status for check in checks} == {"problem"}
    assert said in checks[0].text


def test_a_node_that_cannot_use_it_is_named(tmp_path: Path) -> None:
    checks = found(tmp_path, second=RunError("no answer within 60 s"))
    assert checks[0].status == "problem"
    assert checks[0].text == "node 10.0.0.2: no answer within 60 s"


def test_a_local_path_on_several_nodes_is_refused_as_by_a_run(tmp_path: Path) -> None:
    checks = found(tmp_path, at=cluster(2))
    assert checks[0].status == "problem"
    assert "the cluster has 2 nodes, but storage" in checks[0].text


def test_a_job_without_storage_is_told_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    (check,) = found(None)
    assert (check.name, check.status) == ("storage", "problem")
    assert "--set storage=/absolute/path" in check.text


def _with_free(monkeypatch: pytest.MonkeyPatch, num_bytes: int) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(num_bytes, 0, num_bytes))
