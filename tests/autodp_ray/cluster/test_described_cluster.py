"""Clusters read from the launcher's file and from KubeRay's manifests; what describes none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from autodp_ray.cluster.described_cluster import NodeGroup, read_cluster
from operators.contract.errors import InputError

ROOT = Path(__file__).parents[3]


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "described.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_launcher_s_file_has_a_head_and_workers_up_to_their_bound() -> None:
    groups = read_cluster(str(ROOT / "cluster.yaml")).groups
    assert groups == (
        NodeGroup(name="head", num_nodes=1, num_cpus=16, num_gpus=0),
        NodeGroup(name="a100x8", num_nodes=2, num_cpus=96, num_gpus=8),
    )


@pytest.mark.parametrize("name", ["raycluster", "rayjob", "rayservice"])
def test_kuberay_s_manifests_are_read_as_ray_s_autoscaler_reads_them(name: str) -> None:
    groups = read_cluster(str(ROOT / "deploy" / "kuberay" / f"{name}.yaml")).groups
    assert groups == (
        NodeGroup(name="headgroup", num_nodes=1, num_cpus=16, num_gpus=0),
        NodeGroup(name="a100x8", num_nodes=2, num_cpus=88, num_gpus=8),
    )


LAUNCHED = """
max_workers: {total}
head_node_type: head
available_node_types:
  head: {{ resources: {{ CPU: 4 }} }}
  small: {{ resources: {{ CPU: 8, GPU: 1 }}, max_workers: 5 }}
  large: {{ resources: {{ CPU: 96, GPU: 8 }}, max_workers: 2 }}
"""


@pytest.mark.parametrize(
    ("total", "wanted"), [(9, {"large": 2, "small": 5}), (4, {"large": 2, "small": 2}), (1, {"large": 1}), (0, {})]
)
def test_a_bound_on_all_workers_leaves_those_with_most_gpus(tmp_path: Path, total: int, wanted: dict[str, int]) -> None:
    found = read_cluster(written(tmp_path, LAUNCHED.format(total=total)))
    assert {group.name: group.num_nodes for group in found.groups} == {"head": 1, **wanted}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dataset: { path: d }", "describes no cluster: give the file of `ray up`"),
        ("available_node_types: { head: { node_config: {} } }\nhead_node_type: head", "needs the CPUs"),
        ("available_node_types: { a: { resources: { CPU: 1 } } }\nhead_node_type: b", "'b' is not among"),
        ("available_node_types: { a: { resources: { CPU: -1 } } }\nhead_node_type: a", "CPU"),
        ("kind: RayCluster\nspec: {}", "what its pods have cannot be read"),
        ("kind: RayJob", "what its pods have cannot be read"),
        ("kind: RayService\nspec: [1]", "what its pods have cannot be read"),
        ("kind: RayCluster\nspec: { headGroupSpec: { template: { spec: { containers: [] } } } }", "cannot be read"),
    ],
)
def test_what_describes_no_cluster_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_cluster(written(tmp_path, text))
