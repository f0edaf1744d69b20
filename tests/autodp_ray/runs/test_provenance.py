"""Where a result comes from: only our own checkout's commit counts, and changed files are said."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from autodp_ray.runs.provenance import git_commit


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    file = tmp_path / "code.py"
    file.write_text("answer = 42\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "code.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    return file


def test_the_commit_of_a_checkout_is_whole(checkout: Path) -> None:
    found = git_commit(str(checkout))
    assert found is not None
    assert len(found) == 40


def test_a_checkout_with_changed_files_says_so(checkout: Path) -> None:
    clean = git_commit(str(checkout))
    checkout.write_text("answer = 43\n")
    assert git_commit(str(checkout)) == f"{clean}-dirty"


def test_a_package_that_is_installed_inside_somebody_s_repository_has_no_commit_of_it(checkout: Path) -> None:
    installed = checkout.parent / ".venv" / "package.py"
    installed.parent.mkdir()
    installed.write_text("")
    assert git_commit(str(installed)) is None


def test_code_outside_of_any_repository_has_no_commit(tmp_path: Path) -> None:
    assert git_commit(str(tmp_path / "code.py")) is None
