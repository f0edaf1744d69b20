"""What is installed: every folder with code, every template, and the marks that say the packages are typed."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
SOURCES = ("actors", "autodp_ray", "operators")


def found(pattern: str) -> set[Path]:
    return {path.relative_to(ROOT) for source in SOURCES for path in (ROOT / source).rglob(pattern)}


def test_every_folder_with_code_is_a_listed_package() -> None:
    folders = {".".join(path.parent.parts) for path in found("*.py")}
    assert sorted(folders) == SETUPTOOLS["packages"], "packages in pyproject.toml lists, sorted, every folder with code"


def test_every_template_and_every_mark_of_types_is_installed() -> None:
    installed = {
        path.relative_to(ROOT)
        for package, patterns in SETUPTOOLS["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    assert installed == found("*.jinja") | found("py.typed")
