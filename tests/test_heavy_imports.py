"""Operators are cheap to import: no model library, no Ray. Drivers and train controllers load no torch."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import operators

HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "sentence_transformers",
    "ray",
    "sklearn",
    "scipy",
    "datasketch",
    "openai",
    "fastapi",
)
PROBE = """
import importlib, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
print(",".join(name for name in sys.argv[2].split(",") if name in sys.modules))
"""


def _loaded_after_importing(modules: list[str]) -> set[str]:
    command = [sys.executable, "-c", PROBE, ",".join(modules), ",".join(HEAVY)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return set(result.stdout.strip().split(",")) - {""}


def test_no_operator_module_loads_a_heavy_library() -> None:
    modules = [module.name for module in pkgutil.walk_packages(operators.__path__, "operators.")]
    assert "operators.registry" in modules
    assert _loaded_after_importing(modules) == set()


def test_a_config_and_the_help_of_every_command_load_no_ray() -> None:
    modules = ["autodp_ray.config.run_config", "autodp_ray.config.reference", "autodp_ray.cli.main"]
    assert _loaded_after_importing(modules) == set()


def test_a_driver_and_a_train_controller_load_no_torch_and_no_transformers() -> None:
    loaded = _loaded_after_importing(["autodp_ray.cli.main", "actors.training.group", "actors.training.service"])
    assert "ray" in loaded
    assert loaded & {"torch", "transformers", "sentence_transformers", "vllm"} == set()


def test_the_probe_notices_a_heavy_library() -> None:
    assert "sklearn" in _loaded_after_importing(["sklearn"])
