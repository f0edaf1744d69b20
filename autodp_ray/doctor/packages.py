"""Which packages are there, and which of them the config cannot do without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.llm.engines.base import LLMSpec
from actors.llm.spec import ENGINES
from autodp_ray.cluster.node_answers import Answer
from autodp_ray.config.run_config import Config
from autodp_ray.doctor.check import Check, ok, problem, warning
from autodp_ray.doctor.node_questions import PACKAGES, Installation
from autodp_ray.tracking.registry import TRACKINGS
from operators.contract.errors import AutoDPError

OPTIONAL: Mapping[str, str] = {
    "sentence_transformers": "samples by embeddings, encoder screeners and the evaluator reference",
    "faiss": "sampling.method stratified and autodp sample",
    **{package.module: f"engine {name}" for name, engine in ENGINES.items() for package in engine.packages},
    "deepspeed": "training.deepspeed and tune.deepspeed",
    **{package.module: f"tracking {name}" for name, service in TRACKINGS.items() for package in service.packages},
}
"""Packages that not every run needs, and what they are for."""
_GPU_EXTRA = "pip install 'autodp-ray[gpu]'"
_INSTALL: Mapping[str, str] = {
    "faiss": "pip install 'autodp-ray[cpu]' (or [gpu])",
    **{package.module: package.install for engine in ENGINES.values() for package in engine.packages},
    "deepspeed": _GPU_EXTRA,
    **{package.module: package.install for service in TRACKINGS.values() for package in service.packages},
}
"""Where it is not `pip install autodp-ray`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageNeed:
    """A package that the config cannot do without, and which processes load it."""

    module: str
    setting: str
    """The setting that wants it."""
    in_driver: bool
    on_workers: bool
    num_gpus: float = 0.0
    """Of a worker that loads it; above 0, nodes without a GPU need none of it."""


def needed_packages(config: Config, roles: Mapping[str, LLMSpec]) -> list[PackageNeed]:
    """What the config needs beside what every run does. `roles` are the chat models that it asks."""
    needs = [
        PackageNeed(
            module=package.module,
            setting=f"models.{role}.engine {spec.engine}",
            in_driver=True,
            on_workers=True,
            num_gpus=spec.held_gpus,
        )
        for role, spec in roles.items()
        for package in spec.packages
    ]
    for section, recipe in (("training", config.training), ("tune", config.tune)):
        if recipe is not None and recipe.deepspeed is not None:
            needs.append(
                PackageNeed(
                    module="deepspeed",
                    setting=f"{section}.deepspeed",
                    in_driver=False,
                    on_workers=True,
                    num_gpus=recipe.num_gpus_per_worker,
                )
            )
    method = config.sampling.method
    setting = f"sampling.method {method.name}"
    needs += [_of_driver(module, setting) for module in method.packages]
    evaluator = config.evaluation.evaluator
    setting = f"evaluation.evaluator {evaluator.name}"
    needs += [_of_driver(module, setting) for module in evaluator.packages]
    setting = f"tracking {config.tracking.name}"
    return needs + [_of_driver(package.module, setting) for package in config.tracking.packages]


def _of_driver(module: str, setting: str) -> PackageNeed:
    return PackageNeed(module=module, setting=setting, in_driver=True, on_workers=False)


def installed(own: Installation, needs: Sequence[PackageNeed]) -> list[Check]:
    """What the driver runs on, package by package."""
    needed = {need.module: need for need in reversed(needs) if need.in_driver}
    head = [ok("python", own.python), ok("autodp_ray", f"code {own.code[:12]}")]
    return head + [_in_driver(module, own.packages.get(module), needed.get(module)) for module in PACKAGES]


def _in_driver(module: str, version: str | None, need: PackageNeed | None) -> Check:
    if version is not None:
        return ok(module, version)
    if need is not None:
        return problem(module, f"{need.setting} needs it, and it is not installed here: {_install(module)}")
    if module in OPTIONAL:
        return ok(module, f"not installed here, and not needed: it is for {OPTIONAL[module]}")
    return problem(module, f"not installed here: {_install(module)}")


def on_workers(needs: Sequence[PackageNeed], answers: Sequence[Answer[Installation]]) -> list[Check]:
    """The packages that workers load, on the nodes that may hold such workers."""
    return [_on_workers(need, answers) for need in needs if need.on_workers]


def _on_workers(need: PackageNeed, answers: Sequence[Answer[Installation]]) -> Check:
    name = f"{need.module} for {need.setting}"
    installations = [
        (answer.node.address, answer.value)
        for answer in answers
        if not isinstance(answer.value, AutoDPError) and (need.num_gpus == 0 or answer.node.num_gpus > 0)
    ]
    missing = [address for address, found in installations if need.module not in found.packages]
    if missing:
        return problem(name, f"not installed on {', '.join(missing)}: {_install(need.module)}")
    if not installations:
        return warning(name, "no node with a GPU is alive, so it is not known; look again when one is")
    versions = sorted({found.packages[need.module] for _, found in installations})
    return ok(name, f"{', '.join(versions)} on {_nodes(len(installations))}")


def _install(module: str) -> str:
    return _INSTALL.get(module, "pip install autodp-ray")


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
