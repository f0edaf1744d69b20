"""The cluster launcher's file: valid to Ray, sixteen A100-80G at most, from zero, nothing open to the world."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.exceptions import ValidationError
from ray.autoscaler._private import util

CLUSTER = Path(__file__).parents[1] / "cluster.yaml"


@pytest.fixture
def config() -> dict[str, Any]:
    loaded = yaml.safe_load(CLUSTER.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_the_launcher_accepts_the_file(config: dict[str, Any]) -> None:
    util.validate_config(util.prepare_config(copy.deepcopy(config)))


@pytest.mark.parametrize("place", [(), ("provider",), ("available_node_types", "a100x8")])
def test_a_misspelt_key_is_refused(config: dict[str, Any], place: tuple[str, ...]) -> None:
    section = config
    for name in place:
        section = section[name]
    section["max_wrokers"] = 3
    known_to_be_open = place == ("provider",)  # Ray lets providers define keys of their own
    if known_to_be_open:
        util.validate_config(util.prepare_config(copy.deepcopy(config)))
        assert set(section) - PROVIDER_KEYS == {"max_wrokers"}
        return
    with pytest.raises(ValidationError):
        util.validate_config(util.prepare_config(copy.deepcopy(config)))


PROVIDER_KEYS = {"type", "region", "availability_zone", "use_internal_ips", "cache_stopped_nodes"}
NODE_KEYS = {"InstanceType", "ImageId", "BlockDeviceMappings"}
"""Keys of the sections that Ray does not check; the file keeps to these."""


def test_the_sections_that_ray_does_not_check_have_known_keys_only(config: dict[str, Any]) -> None:
    assert set(config["provider"]) <= PROVIDER_KEYS
    for node_type in config["available_node_types"].values():
        assert set(node_type["node_config"]) <= NODE_KEYS


def test_sixteen_a100_80g_come_from_zero(config: dict[str, Any]) -> None:
    types = config["available_node_types"]
    workers = types["a100x8"]
    assert workers["node_config"]["InstanceType"] == "p4de.24xlarge"
    assert workers["resources"]["GPU"] * workers["max_workers"] == 16
    assert workers["min_workers"] == 0
    assert config["max_workers"] == workers["max_workers"] == 2
    assert "GPU" not in types[config["head_node_type"]]["resources"]


def test_every_node_type_says_its_resources(config: dict[str, Any]) -> None:
    for node_type in config["available_node_types"].values():
        assert node_type["resources"]["CPU"] > 0
        assert node_type["resources"]["memory"] > 0


def test_the_dashboard_listens_on_loopback(config: dict[str, Any]) -> None:
    (start,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in start
    assert "0.0.0.0" not in CLUSTER.read_text(encoding="utf-8")
