"""What is installed: every folder with code, every template, and the marks that say the packages are typed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

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


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_constraints_for_gpus_resolve_on_a_fresh_linux_with_no_version_left_open(
    python: str, tmp_path: Path
) -> None:
    """Only names and versions are asked for, so the gigabytes of wheels stay where they are."""
    wanted = tmp_path / "boto3.in"
    wanted.write_text("boto3\n", encoding="utf-8")  # the head of cluster.yaml launches workers with it
    constraints = ROOT / "constraints-gpu.txt"
    command = [sys.executable, "-m", "uv", "pip", "compile", "--native-tls", "--no-header", "--no-annotate"]
    command += ["--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--extra", "gpu", "--extra", "quickstart", "--constraint", str(constraints)]
    done = subprocess.run([*command, str(ROOT / "pyproject.toml"), str(wanted)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {version(line) for line in done.stdout.splitlines()}
    pinned = {
        version(line) for line in constraints.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    }
    assert found - pinned == set()


def version(line: str) -> tuple[str, str]:
    """Of a line such as `ray[data]==2.60.0`, in the spelling that indexes compare by."""
    name, _, number = line.partition(";")[0].strip().partition("==")
    return name.partition("[")[0].lower().replace("_", "-").replace(".", "-"), number
