"""The image's recipe, read and not built: its stages, its user, and that all it copies and installs is there."""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

from tests.dockerfile import ROOT, stages

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_bases_are_pinned_to_a_release_or_are_earlier_stages() -> None:
    known: set[str] = set()
    for stage in stages().values():
        assert stage.base in known or re.fullmatch(r"[a-z/]+:\d+\.\d+\.\d+-[a-z0-9.-]+", stage.base), stage.base
        known.add(stage.name)


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_an_image_runs_as_an_ordinary_user_and_takes_the_packages_from_its_builder(target: str) -> None:
    found = stages()
    assert found[target].all("USER") == ["1000"]
    assert f"--from={target}-packages /opt/venv /opt/venv" in found[target].all("COPY")
    assert f"--from={target}-code /opt/code /opt/code" in found[target].all("COPY")[-1:]
    (base,) = found[f"{target}-base"].all("RUN")
    assert "useradd --create-home --uid 1000 ray" in base
    assert "/etc/profile.d/" in base  # KubeRay starts Ray in a login shell, which forgets ENV's PATH
    assert "wget" in base  # KubeRay's probes


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_everything_is_installed_by_the_constraints_and_the_extras_exist(target: str) -> None:
    commands = " && ".join(stages()[f"{target}-packages"].all("RUN"))
    installs = [each for each in commands.split("&&") if "pip install" in each]
    assert installs
    assert all(f"--constraint constraints-{target}.txt" in each for each in installs)
    (listing,) = [each for each in commands.split("&&") if "deploy/requirements.py" in each and "mv" not in each]
    extras = shlex.split(listing.split(">")[0])[2:]
    assert extras == [target, "quickstart"]
    assert set(extras) <= PROJECT["optional-dependencies"].keys()


def test_the_gpu_image_has_a_python_that_the_project_takes() -> None:
    assert "python3.12 -m venv" in " ".join(stages()["gpu-packages"].all("RUN"))
    assert stages()["gpu-base"].base.endswith("-devel-ubuntu24.04")  # whose Python is 3.12
    assert PROJECT["requires-python"] == ">=3.11,<3.13"


def test_every_source_of_a_copy_exists_and_reaches_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    assert "*" in lines
    copied: set[str] = set()
    for stage in stages().values():
        for copy in stage.all("COPY"):
            if not copy.startswith("--from"):
                copied.update(copy.split()[:-1])
    for source in copied:
        assert (ROOT / source).exists(), source
    assert copied == set(allowed)
    assert not [name for name in allowed if fnmatch.fnmatch(name, "*secret*")]


def test_the_listed_requirements_are_those_of_the_project_and_a_wrong_extra_is_refused() -> None:
    script = [sys.executable, str(ROOT / "deploy" / "requirements.py")]
    listed = subprocess.run([*script, "gpu"], check=True, capture_output=True, text=True).stdout.splitlines()
    assert listed == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["gpu"]]
    assert subprocess.run([*script, "gpus"], capture_output=True).returncode != 0
