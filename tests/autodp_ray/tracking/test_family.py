"""Tracking services are a family: settings name one by its word, and a new one needs its class alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from actors.llm.engines.base import EnginePackage
from autodp_ray.doctor.packages import needed_packages
from autodp_ray.tracking.base import Experiment, Tracking
from autodp_ray.tracking.mlflow import MlflowTracking
from autodp_ray.tracking.none import NoTracking
from autodp_ray.tracking.registry import TRACKINGS
from autodp_ray.tracking.wandb import WandbTracking
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import make_config
from tests.conftest import WARNINGS_OF_LARGE_PARTS


class Elsewhere(Tracking):
    """A service whose package nobody has."""

    packages: ClassVar[tuple[EnginePackage, ...]] = (
        EnginePackage(module="no_such_package", distributions=("no-such",), install="pip install no-such"),
    )

    name: Literal["elsewhere"] = "elsewhere"

    def open(self, run_id: str, *, name: str) -> Experiment:
        self.require_packages()
        raise AssertionError("its package is not there")


@pytest.mark.parametrize("name", TRACKINGS)
def test_a_word_and_a_section_name_the_same_service_which_is_written_as_its_word(name: str) -> None:
    word = make_config("d", tracking=name)
    assert word == make_config("d", tracking={"name": name})
    assert word.model_dump()["tracking"] == name


def test_a_wrong_service_is_refused_by_its_key() -> None:
    with pytest.raises(InputError, match=r"tracking: unknown name 'mlflo'; did you mean mlflow\?"):
        make_config("d", tracking="mlflo")


def test_a_new_service_is_known_to_doctor_and_says_what_is_missing() -> None:
    config = make_config("d").model_copy(update={"tracking": Elsewhere()})
    assert [(need.module, need.setting) for need in needed_packages(config, {})][-1] == (
        "no_such_package",
        "tracking elsewhere",
    )
    with pytest.raises(InputError, match="no_such_package is not installed here: pip install no-such"):
        config.tracking.open("r1", name="first")


def mlflow_at(folder: Path) -> Tracking:
    return MlflowTracking(uri=f"sqlite:///{folder / 'mlflow.db'}")


def wandb_at(folder: Path) -> Tracking:
    return WandbTracking(mode="offline")


SERVICES: Mapping[str, Callable[[Path], Tracking]] = {
    "none": lambda _: NoTracking(),
    "mlflow": mlflow_at,
    "wandb": wandb_at,
}


@pytest.mark.heavy  # their packages take seconds to load
@pytest.mark.filterwarnings(*WARNINGS_OF_LARGE_PARTS)
@pytest.mark.parametrize("name", SERVICES)
def test_every_service_takes_all_that_a_run_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tracking = SERVICES[name](tmp_path)
    for package in tracking.packages:
        if importlib.util.find_spec(package.module) is None:
            pytest.skip(f"{package.module} is not installed")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("none")
    run = tracking.open("r1", name="first")
    assert run.last_step == 0
    run.settings({"search.policy": "agent", "long": "x" * 9000})
    run.settings({"search.policy": "agent"})
    run.numbers({"score/cleaning>generation": 0.5, "round": 1}, step=1)
    run.words({"autodp.claim": "confirmed"})
    run.text("result.json", "{}")
    run.folder("model", str(tmp_path / "model"))
    run.close(succeeded=True)
