"""What a machine says of itself: versions without importing, its code by content, the model that it finds."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import ray

from autodp_ray.doctor import node_questions
from autodp_ray.doctor.node_questions import PACKAGES, code_digest, model_revision, own_installation
from tests.autodp_ray.run_fakes import model_folder


def test_an_installation_names_what_is_there_and_leaves_out_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_questions, "PACKAGES", {**PACKAGES, "nowhere": ("nowhere",), "yaml": ("nowhere",)})
    found = own_installation()
    assert found.python == platform.python_version()
    assert found.packages["ray"] == ray.__version__
    assert found.packages["yaml"] == "of unknown version"
    assert "nowhere" not in found.packages


def test_code_is_told_apart_by_content_and_name_but_not_by_its_bytecode(tmp_path: Path) -> None:
    folder = tmp_path / "actors"
    folder.mkdir()
    (folder / "one.py").write_text("x = 1")
    first = code_digest(tmp_path)
    (folder / "one.pyc").write_bytes(b"compiled")
    assert code_digest(tmp_path) == first
    (folder / "one.py").write_text("x = 2")
    assert code_digest(tmp_path) != first
    (folder / "one.py").rename(folder / "two.py")
    (folder / "two.py").write_text("x = 1")
    assert code_digest(tmp_path) != first


def test_a_model_is_told_by_its_content(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    first = model_revision(str(folder))
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert model_revision(str(folder)) != first
