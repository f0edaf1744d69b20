"""The folder that is handed over: its adapter, its card, the name of its base."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from actors.models.hub_id import hub_id
from actors.storage.storage import Storage
from autodp_ray.runs.open_run import OpenRun
from autodp_ray.tuning.export import export
from operators.contract.errors import InputError, RunError
from tests.autodp_ray.tuning_fakes import FakeTrainers, tune, tuning


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
