"""Imports point one way only: operators <- actors <- autodp_ray; no cycle of files or folders, functions included.

A function may import a module of ours only where that defers something heavy (the module loads Ray, torch or
transformers), in a command of the CLI, or in the package's own API, which must set the environment before Ray is
imported.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = {
    "operators": {"actors", "autodp_ray", "ray"},
    "actors": {"autodp_ray"},
    "autodp_ray": set(),
}
HEAVY = {"ray", "torch", "transformers", "peft", "sentence_transformers", "vllm"}
COMMANDS = ROOT / "autodp_ray" / "cli"
"""Help loads no command's code, heavy or not: each command imports what it runs."""
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


def modules_imported_in_functions(tree: ast.AST) -> set[str]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    nodes = [node for function in functions for node in ast.walk(function)]
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


@cache
def is_heavy(module: str) -> bool:
    """Whether importing a module of ours loads something heavy, itself or through another one of ours."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    if not path.is_file():
        return False
    body = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    if HEAVY & {package for node in body for package in imported_packages(node)}:
        return True
    return any(is_heavy(node.module or "") for node in body if isinstance(node, ast.ImportFrom))


@pytest.mark.parametrize(("layer", "path"), MODULES)
def test_a_module_imports_only_its_own_layer_and_those_below(layer: str, path: Path) -> None:
    imported = set(imported_packages(ast.parse(path.read_text())))
    assert imported & LAYERS[layer] == set()
    assert "" not in imported, "imports are absolute"


@pytest.mark.parametrize(("layer", "path"), MODULES)
def test_a_function_imports_our_own_modules_only_to_defer_something_heavy(layer: str, path: Path) -> None:
    if path == ROOT / "autodp_ray" / "__init__.py" or path.is_relative_to(COMMANDS):
        return
    ours = {
        module
        for module in modules_imported_in_functions(ast.parse(path.read_text()))
        if module.partition(".")[0] in LAYERS
    }
    assert {module for module in ours if not is_heavy(module)} == set()


def _module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def import_graph() -> dict[str, set[str]]:
    """For each module of ours the others that it imports, at its top or inside a function."""
    files = {_module_of(path): path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    graph: dict[str, set[str]] = {module: set() for module in files}
    for module, path in files.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                graph[module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[module] |= (names & files.keys()) or {node.module}
        graph[module] &= files.keys() - {module}
    return graph


def cycle_in(graph: Mapping[str, set[str]]) -> tuple[str, ...]:
    """One cycle of a graph, or nothing."""
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return tuple(error.args[1])
    return ()


def folder_graph(depth: int) -> dict[str, set[str]]:
    """Which folders import which, cut at `depth`; the API of the whole package, which opens a run, is no folder."""
    graph = {module: imported for module, imported in import_graph().items() if module != "autodp_ray"}
    folders = {module: _folder(module, depth) for module in graph}
    edges: dict[str, set[str]] = {folder: set() for folder in folders.values()}
    for module, imported in graph.items():
        edges[folders[module]] |= {folders[name] for name in imported} - {folders[module]}
    return edges


def _folder(module: str, depth: int) -> str:
    folder = module if (ROOT / module.replace(".", "/")).is_dir() else module.rpartition(".")[0]
    return ".".join(folder.split(".")[:depth])


def test_no_files_import_each_other_in_a_circle() -> None:
    assert cycle_in(import_graph()) == ()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_no_folders_import_each_other_in_a_circle(depth: int) -> None:
    assert cycle_in(folder_graph(depth)) == ()


def test_a_circle_is_found() -> None:
    assert set(cycle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}


def test_few_files_lie_loose() -> None:
    loose = {layer: sorted(path.name for path in (ROOT / layer).glob("*.py")) for layer in LAYERS}
    assert len(loose["autodp_ray"]) <= 12, loose["autodp_ray"]
    assert loose["actors"] == ["__init__.py"]


def test_every_package_is_named_in_pyproject() -> None:
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    assert sorted(named) == sorted(".".join(folder.parts) for folder in folders)


def test_the_check_sees_every_form_of_import() -> None:
    code = "import ray.data as d\nfrom autodp_ray.cli import x\nfrom . import x\ndef f():\n    import actors.llm\n"
    assert set(imported_packages(ast.parse(code))) == {"ray", "autodp_ray", "", "actors"}
    assert modules_imported_in_functions(ast.parse(code)) == {"actors.llm"}
    assert is_heavy("actors.training.trainer")
    assert not is_heavy("actors.storage.storage")
