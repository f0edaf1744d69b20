"""What `autodp doctor` prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from autodp_ray.cli.main import app
from autodp_ray.config.run_config import Config
from autodp_ray.doctor import examination
from autodp_ray.doctor.check import Check, Diagnosis, ok, problem, warning
from tests.autodp_ray.run_fakes import config_values


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Config | None]:
    """Configs that were examined; nothing is wrong with any."""
    return found(monkeypatch, ok("python", "3.11.9"), warning("room", "tight"))


def found(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> list[Config | None]:
    asked: list[Config | None] = []

    def examine(config: Config | None, **given: object) -> Diagnosis:
        asked.append(config)
        return Diagnosis(checks=checks)

    monkeypatch.setattr(examination, "examine", examine)
    return asked


def autodp(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_without_a_problem_the_exit_code_is_0(looked_at: list[Config | None]) -> None:
    result = autodp()
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["ok       python: 3.11.9", "warning  room: tight", "problems: 0, warnings: 1"]
    assert looked_at == [None]


def test_with_a_problem_it_is_2(monkeypatch: pytest.MonkeyPatch) -> None:
    found(monkeypatch, ok("python", "3.11.9"), problem("torch", "not installed here"))
    result = autodp()
    assert result.exit_code == 2
    assert "problem  torch: not installed here" in result.stdout
    result = autodp("--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout) == {
        "ok": False,
        "checks": [
            {"name": "python", "status": "ok", "text": "3.11.9"},
            {"name": "torch", "status": "problem", "text": "not installed here"},
        ],
    }


def test_a_config_is_read_with_its_overrides(looked_at: list[Config | None], tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values("data.jsonl")))
    assert autodp(str(path), "--set", "storage=s3://bucket/autodp").exit_code == 0
    (config,) = looked_at
    assert config is not None
    assert config.storage == "s3://bucket/autodp"


def test_a_wrong_config_is_told_before_anything_is_examined(looked_at: list[Config | None]) -> None:
    assert "there is no file 'nowhere.yaml'" in autodp("nowhere.yaml").stderr
    result = autodp("--set", "storage=x")
    assert (result.exit_code, looked_at) == (2, [])
    assert "name its YAML file too" in result.stderr
