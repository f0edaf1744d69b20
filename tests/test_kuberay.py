"""The manifests for KubeRay: every field known, pods that Kubernetes takes, numbers that Ray reads as we mean them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from jsonschema import Draft202012Validator
from ray.autoscaler._private.kuberay import autoscaling_config as kuberay
from ray.autoscaler._private.kuberay.utils import parse_quantity
from ray.scripts.scripts import start as ray_start
from ray.serve.schema import ServeDeploySchema

from autodp_ray.cluster.resource_plan import resource_plan
from autodp_ray.config.run_config import load_config
from tests.actors.serve.test_serve_configs import unknown_keys
from tests.command_lines import params_of
from tests.kuberay_fields import SCHEMAS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "kuberay"
FILES = ("raycluster.yaml", "rayjob.yaml", "rayservice.yaml")
CLUSTER_KEY = {"RayCluster": None, "RayJob": "rayClusterSpec", "RayService": "rayClusterConfig"}
KUBERNETES = "1.33.0"


def manifest(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def cluster_of(found: dict[str, Any]) -> dict[str, Any]:
    key = CLUSTER_KEY[found["kind"]]
    cluster: dict[str, Any] = found["spec"] if key is None else found["spec"][key]
    return cluster


def groups(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def container(group: dict[str, Any]) -> dict[str, Any]:
    (found,) = group["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def faults(found: dict[str, Any]) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMAS[found["kind"]]).iter_errors(found)]


@pytest.mark.parametrize("name", FILES)
def test_kuberay_knows_every_field(name: str) -> None:
    assert faults(manifest(name)) == []


@pytest.mark.parametrize("name", FILES)
def test_a_misspelt_field_is_found_at_any_depth(name: str) -> None:
    found = manifest(name)
    cluster = cluster_of(found)
    for place in (found, found["spec"], cluster["autoscalerOptions"], *groups(cluster)):
        place["replica"] = 1
        assert faults(found) == ["Additional properties are not allowed ('replica' was unexpected)"]
        del place["replica"]
    cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0  # KubeRay takes texts alone
    assert faults(found) == ["0 is not of type 'string'"]


@pytest.mark.parametrize("name", FILES)
def test_kubernetes_takes_the_pods(name: str) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="make setup installs kubernetes-validate")
    for group in groups(cluster_of(manifest(name))):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": group["template"]["spec"]}
        kubernetes.validate(pod, KUBERNETES, strict=True)
        broken = copy.deepcopy(pod)
        broken["spec"]["containers"][0]["volumeMount"] = []
        with pytest.raises(kubernetes.ValidationError):
            kubernetes.validate(broken, KUBERNETES, strict=True)


def test_kubernetes_takes_what_the_manifests_share() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="make setup installs kubernetes-validate")
    shared = list(yaml.safe_load_all((FOLDER / "base.yaml").read_text(encoding="utf-8")))
    for found in shared:
        kubernetes.validate(found, KUBERNETES, strict=True)
    assert {found["kind"] for found in shared} == {
        "Namespace",
        "ServiceAccount",
        "PersistentVolumeClaim",
        "NetworkPolicy",
    }


def test_all_manifests_describe_one_cluster_in_the_shared_namespace() -> None:
    first, *others = (manifest(name) for name in FILES)
    assert all(cluster_of(other) == cluster_of(first) for other in others)
    assert {found["metadata"]["namespace"] for found in (first, *others)} == {"autodp"}
    shared = {found["kind"]: found for found in yaml.safe_load_all((FOLDER / "base.yaml").read_text(encoding="utf-8"))}
    assert shared["Namespace"]["metadata"]["name"] == "autodp"
    for group in groups(cluster_of(first)):
        pod = group["template"]["spec"]
        assert pod["serviceAccountName"] == shared["ServiceAccount"]["metadata"]["name"]
        (claim,) = [each["persistentVolumeClaim"] for each in pod["volumes"] if "persistentVolumeClaim" in each]
        assert claim["claimName"] == shared["PersistentVolumeClaim"]["metadata"]["name"]


def test_rays_autoscaler_reads_sixteen_gpus_that_come_from_zero() -> None:
    config = kuberay._derive_autoscaling_config_from_ray_cr(manifest("raycluster.yaml"))
    head, workers = config["available_node_types"]["headgroup"], config["available_node_types"]["a100x8"]
    assert "GPU" not in head["resources"]
    assert head["resources"]["CPU"] == 16
    assert workers["resources"]["GPU"] * workers["max_workers"] == 16
    assert workers["min_workers"] == 0
    assert config["idle_timeout_minutes"] == 15


def test_ray_start_takes_the_parameters_and_the_object_store_fits_into_shared_memory() -> None:
    for group in groups(cluster_of(manifest("raycluster.yaml"))):
        arguments = [f"--{key}={value}" for key, value in group["rayStartParams"].items()]
        params = ray_start.make_context("start", arguments).params
        (shm,) = [each["emptyDir"] for each in group["template"]["spec"]["volumes"] if each["name"] == "shm"]
        assert shm["medium"] == "Memory"
        assert params["object_store_memory"] <= parse_quantity(shm["sizeLimit"])
        limits = container(group)["resources"]["limits"]
        assert parse_quantity(shm["sizeLimit"]) < parse_quantity(limits["memory"])


def test_pods_are_confined_and_take_secrets_from_secrets_alone() -> None:
    for group in groups(cluster_of(manifest("raycluster.yaml"))):
        assert group["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
        assert container(group)["securityContext"]["allowPrivilegeEscalation"] is False
        for variable in container(group)["env"]:
            is_secret = any(word in variable["name"] for word in ("TOKEN", "KEY", "SECRET", "PASSWORD"))
            assert is_secret == ("valueFrom" in variable)
            if is_secret:
                assert set(variable["valueFrom"]) == {"secretKeyRef"}
    assert cluster_of(manifest("raycluster.yaml"))["authOptions"] == {"mode": "token"}


def test_the_pods_run_the_gpu_image_with_the_ray_of_the_project() -> None:
    cluster = cluster_of(manifest("raycluster.yaml"))
    assert {container(group)["image"] for group in groups(cluster)} == {"REGISTRY/autodp-ray:0.1.0-gpu"}
    assert cluster["rayVersion"] == ray.__version__


def test_the_job_is_a_search_whose_gpus_the_cluster_has_and_ends_with_its_cluster() -> None:
    spec = manifest("rayjob.yaml")["spec"]
    assert spec["entrypoint"].startswith("autodp run ")
    found = params_of(spec["entrypoint"])
    path = ROOT / Path(found["config"]).relative_to("/opt/autodp")
    config = load_config(str(path), found["overrides"])
    held = resource_plan(config)
    workers = cluster_of(manifest("rayjob.yaml"))["workerGroupSpecs"][0]
    gpus = workers["maxReplicas"] * container(workers)["resources"]["limits"]["nvidia.com/gpu"]
    assert 0 < held.gpus <= gpus
    assert config.tune is not None
    assert config.tune.num_workers * config.tune.num_gpus_per_worker == gpus
    assert str(config.storage).startswith("s3://")
    assert found["run_dir"].startswith(str(config.storage))
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert yaml.safe_load(spec["runtimeEnvYAML"]).keys() == {"env_vars"}


def test_the_service_serves_the_applications_of_the_serve_configs() -> None:
    config = yaml.safe_load(manifest("rayservice.yaml")["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(config)
    assert unknown_keys(config, ServeDeploySchema) == []
    files = ("llm.gpu.yaml", "screener.gpu.yaml")
    shipped = [yaml.safe_load((ROOT / "serve_configs" / name).read_text(encoding="utf-8")) for name in files]
    assert config["applications"] == [application for each in shipped for application in each["applications"]]
