"""Where results may lie: never in a job's temporary copy, never on one node of several. Starts no Ray."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray

from actors.storage.storage import Storage
from autodp_ray.cluster.ray import Cluster, _start, in_ray_job, require_lasting, require_shared, storage_locations
from operators.contract.errors import InputError, RunError

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def cluster(num_nodes: int, *, may_grow: bool = False) -> Cluster:
    return Cluster(
        is_own=False,
        num_nodes=num_nodes,
        may_grow=may_grow,
        num_cpus=4,
        num_gpus=0,
        hosts=frozenset({"10.0.0.1"}),
    )


@pytest.fixture(autouse=True)
def _outside_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB, raising=False)
    monkeypatch.delenv("AUTODP_SHARED_STORAGE", raising=False)


@pytest.fixture
def _inside_a_job(monkeypatch: pytest.MonkeyPatch, _outside_a_job: None) -> None:
    monkeypatch.setenv(JOB, "{}")


def test_ray_names_the_variable_that_tells_a_job() -> None:
    from ray._private.runtime_env import constants

    assert constants.RAY_JOB_CONFIG_JSON_ENV_VAR == JOB


def test_by_default_runs_and_cache_lie_under_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not in_ray_job()
    assert storage_locations(None) == (Storage.at(tmp_path / "runs"), Storage.at(tmp_path / ".autodp/cache"))


@pytest.mark.parametrize("storage", ["s3://bucket/x", "/data/x"])
def test_a_storage_holds_both(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = (Storage.at(f"{storage}/runs"), Storage.at(f"{storage}/cache"))
    assert storage_locations(storage) == expected
    monkeypatch.setenv(JOB, "{}")
    assert storage_locations(storage) == expected


def test_a_storage_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(InputError, match="taken' is a file; name a folder or a URI"):
        storage_locations(str(tmp_path / "taken"))


@pytest.mark.usefixtures("_inside_a_job")
def test_a_job_without_storage_is_told_how_to_give_one() -> None:
    assert in_ray_job()
    with pytest.raises(InputError, match=r"temporary copy .*--set storage=/absolute/path or --set storage=s3://"):
        storage_locations(None)


@pytest.mark.usefixtures("_inside_a_job")
def test_a_relative_storage_is_refused_in_a_job() -> None:
    with pytest.raises(InputError, match="storage 'here' is relative"):
        storage_locations("here")


@pytest.mark.usefixtures("_inside_a_job")
def test_a_relative_run_folder_is_refused_in_a_job() -> None:
    with pytest.raises(InputError, match="run folder 'runs/a' is relative"):
        require_lasting("runs/a")
    for lasting in ("/runs/a", "~/runs/a", "s3://bucket/a"):
        require_lasting(lasting)


def test_a_relative_run_folder_is_fine_outside_a_job() -> None:
    require_lasting("runs/a")


def test_several_nodes_need_storage_that_all_of_them_see(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"has 2 nodes, but storage '/data' is a local path.*AUTODP_SHARED_STORAGE=1"):
        require_shared(Storage.at("/data"), cluster(2))
    require_shared(Storage.at("s3://bucket/x"), cluster(2))
    require_shared(Storage.at("/data"), cluster(1))
    monkeypatch.setenv("AUTODP_SHARED_STORAGE", "1")
    require_shared(Storage.at("/data"), cluster(2))


def test_a_head_that_is_still_alone_needs_it_too_where_nodes_may_come(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"may grow to several nodes, but storage '/data' is a local path"):
        require_shared(Storage.at("/data"), cluster(1, may_grow=True))
    require_shared(Storage.at("s3://bucket/x"), cluster(1, may_grow=True))
    monkeypatch.setenv("AUTODP_SHARED_STORAGE", "1")
    require_shared(Storage.at("/data"), cluster(1, may_grow=True))


def test_without_ray_address_a_ray_of_our_own_is_started_whatever_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(ray, "init", lambda *, address, **settings: asked.append(address))
    _start(None, None)
    _start("auto", None)
    assert asked == ["local", "auto"]


def test_a_cluster_of_another_version_is_told_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**settings: object) -> None:
        raise RuntimeError("Version mismatch: the cluster has Ray 2.59.0, this process Ray 2.60.0")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(RunError, match=r"cannot reach the Ray cluster at auto: Version mismatch: .*2\.59\.0"):
        _start("auto", None)
