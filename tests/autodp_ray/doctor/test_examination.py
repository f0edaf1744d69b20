"""The whole examination: without a config, with one, on nodes that are silent, and once on a real Ray."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodp_ray.cluster.ray import connected
from autodp_ray.config.run_config import Config
from autodp_ray.doctor.check import Diagnosis
from autodp_ray.doctor.examination import RayAccess, examine
from autodp_ray.progress import Silent
from operators.contract.errors import RunError
from tests.autodp_ray.doctor.fakes import FakeRay, node
from tests.autodp_ray.run_fakes import make_config, model_folder, pair, write_jsonl


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A config over a small dataset and a model folder that nobody loads."""
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    monkeypatch.setenv("AUTODP_CACHE", str(tmp_path / "cache"))
    data = write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(40)])
    model = str(model_folder(tmp_path))
    served = {"model": model, "num_cpus": 0.5}
    models = {"agent": served, "operators": served, "tuned": {"model": model}}
    return make_config(data, models=models, storage=str(tmp_path / "storage"))


def look(config: Config | None, ray: FakeRay) -> Diagnosis:
    return examine(config, access=ray.access(), progress=Silent())


def status(found: Diagnosis) -> dict[str, str]:
    return {check.name: check.status for check in found.checks}


def test_without_a_config_only_the_installation_and_the_cluster_are_looked_at() -> None:
    ray = FakeRay(node())
    found = status(look(None, ray))
    assert found["python"] == found["cluster"] == found["node 10.0.0.1"] == "ok"
    assert not {"dataset", "room", "storage of runs"} & found.keys()
    assert ray.asked == [("own_installation", "n1")]


def test_a_config_whose_needs_are_met(config: Config) -> None:
    found = look(config, FakeRay(node()))
    names = {name for name, one in status(found).items() if one == "problem"}
    assert names == set(), found.text()
    assert found.ok
    wanted = {"dataset", "room", "storage of runs", "storage of the cache", f"model {config.models.tuned.model}"}
    assert wanted <= status(found).keys()


def test_a_silent_node_is_a_problem_and_is_asked_nothing_more(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTODP_SHARED_STORAGE", "1")
    ray = FakeRay(node(1), node(2), silent={"n2": RunError("no answer within 60 s")})
    found = status(look(config, ray))
    assert (found["node 10.0.0.1"], found["node 10.0.0.2"]) == ("ok", "problem")
    assert found["storage of runs"] in ("ok", "warning")
    assert {name for name, where in ray.asked if where == "n2"} == {"own_installation"}


def test_where_no_node_answers_that_is_the_problem(config: Config) -> None:
    found = look(config, FakeRay(node(), silent={"n1": RunError("no answer")}))
    assert status(found)["nodes"] == "problem"
    assert not found.ok


def test_a_cluster_that_cannot_be_reached_is_a_problem_beside_the_others(config: Config) -> None:
    found = look(config, FakeRay(fails=RunError("cannot reach the Ray cluster at 10.0.0.1:6379: refused")))
    assert found.checks[-1].text == "cannot reach the Ray cluster at 10.0.0.1:6379: refused"
    assert status(found)["dataset"] == "ok"
    assert not found.ok


def test_gpus_are_asked_only_of_nodes_that_ray_counts_them_on(config: Config) -> None:
    ray = FakeRay(node(1), node(2, num_gpus=8))
    look(None, ray)
    assert [where for name, where in ray.asked if name == "gpu_sizes"] == ["n2"]


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_real_ray_is_found_well(config: Config) -> None:
    found = examine(config, access=RayAccess(connect=connected), progress=Silent())
    assert found.ok, found.text()
    assert {"node 127.0.0.1", "cluster", "storage of runs"} <= status(found).keys()
