"""What stands at the root of the repository: one version, one licence, forms that parse, the workflow that runs CI."""

from __future__ import annotations

import os
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
WITH_VERSION = ("Dockerfile", "docs/cluster.md", *(f"deploy/kuberay/ray{kind}.yaml" for kind in ("job", "cluster")))


def test_the_version_stands_in_pyproject_and_images_are_tagged_with_it() -> None:
    assert version("autodp-ray") == VERSION
    for file in WITH_VERSION:
        tags = {*re.findall(r"REGISTRY/autodp-ray:([\d.]+)-", (ROOT / file).read_text(encoding="utf-8"))}
        assert tags == {VERSION}, file


def test_the_changelog_begins_with_what_is_unreleased_or_with_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert headings[0] == "Unreleased" or headings[0].startswith(f"{VERSION} ")
    kinds = {*re.findall(r"^### (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Compatibility"}


def test_the_citation_and_the_forms_of_issues_are_valid() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors", "preferred-citation"} <= citation.keys()
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yaml"):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert {"name", "description", "body"} <= form.keys()
        assert all(part["type"] in {"markdown", "textarea"} for part in form["body"])


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yaml").read_text(encoding="utf-8"))
    runs = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert runs == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
