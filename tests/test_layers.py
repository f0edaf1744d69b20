"""Imports point one way only: operators <- actors <- autodp_ray, and none of ours hides inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {
    "operators": {"actors", "autodp_ray", "ray"},
    "actors": {"autodp_ray"},
    "autodp_ray": set(),
}
MODULES = [
    pytest.param(layer, path, id=str(path.relative_to(ROOT)))
    for layer in LAYERS
    for path in sorted((ROOT / layer).rglob("*.py"))
]


def imported_packages(tree: ast.AST) -> Iterator[str]:
    """The top-level package of every import in a piece of code, relative ones as an empty name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else (node.module or "").partition(".")[0]


def packages_imported_in_functions(tree: ast.AST) -> set[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {package for function in functions for package in imported_packages(function)}


@pytest.mark.parametrize(("layer", "path"), MODULES)
def test_a_module_imports_only_its_own_layer_and_those_below(layer: str, path: Path) -> None:
    imported = set(imported_packages(ast.parse(path.read_text())))
    assert imported & LAYERS[layer] == set()
    assert "" not in imported, "imports are absolute"


@pytest.mark.parametrize(("layer", "path"), MODULES)
def test_no_function_imports_our_own_packages(layer: str, path: Path) -> None:
    assert packages_imported_in_functions(ast.parse(path.read_text())) & set(LAYERS) == set()


def test_the_check_sees_every_form_of_import() -> None:
    code = (
        "import ray.data as d\nfrom autodp_ray.cli import main\nfrom . import x\ndef f():\n    import actors.screener\n"
    )
    assert set(imported_packages(ast.parse(code))) == {"ray", "autodp_ray", "", "actors"}
    assert packages_imported_in_functions(ast.parse(code)) == {"actors"}
