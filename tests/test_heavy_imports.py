"""Importing operators is cheap: no model library and no Ray comes with it."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import operators

HEAVY = ("torch", "transformers", "vllm", "sentence_transformers", "ray", "sklearn", "scipy", "datasketch", "openai")
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


def test_the_probe_notices_a_heavy_library() -> None:
    assert "sklearn" in _loaded_after_importing(["sklearn"])
