"""An operator of another package: found, validated, told of, run on workers; refused in one line where it is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autodp_ray.cli.main import app
from autodp_ray.cluster.node_answers import NoAnswerInTimeError
from autodp_ray.cluster.outside_operators import check_versions, outside_references
from autodp_ray.config.run_config import Config, load_config
from autodp_ray.doctor.outside_operators import offered, on_nodes
from autodp_ray.runs.settings import restored_config, settings_of
from autodp_ray.search.agent.team_words import team_words
from operators.contract.errors import InputError, RunError
from operators.outside import offers, operator_version
from tests.autodp_ray.doctor.fakes import said
from tests.autodp_ray.run_fakes import make_config

EXAMPLE = Path(__file__).parents[1] / "examples" / "custom_operator"
CLASS = "quality_filter.operator:QualityFilter"


def install(folder: Path, *, name: str = "quality_filter", version: str = "0.1.0", reference: str = CLASS) -> None:
    """What pip leaves of a package with this entry point, but for its code."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[autodp_ray.operators]\nquality_filter = {reference}\n")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's code on the path, not installed."""
    monkeypatch.syspath_prepend(str(EXAMPLE))


@pytest.fixture
def installed(importable: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example as pip installs it."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(str(folder))


def config_with(*recipe: dict[str, object]) -> Config:
    return make_config("d.jsonl", teams={"cleaning": list(recipe)})


@pytest.mark.usefixtures("installed")
def test_the_shipped_config_finds_the_operator_by_its_entry_point() -> None:
    recipe = load_config(str(EXAMPLE / "config.yaml")).teams.recipe("cleaning")
    assert [operator.name for operator in recipe] == ["strip_markup", "quality_filter"]
    assert outside_references(recipe) == (CLASS,)


@pytest.mark.usefixtures("importable")
def test_a_class_on_the_path_needs_no_installation_and_comes_back_from_a_runs_settings() -> None:
    config = config_with({"name": CLASS, "min_quality": 0.7})
    settings = json.loads(json.dumps(settings_of(config, None)))
    assert settings["config"]["teams"]["cleaning"] == [{"name": CLASS, "seed": 0, "min_quality": 0.7}]
    again = restored_config(settings["config"], config_path=None, overrides=(), source="config.json")
    assert again == config
    assert [one.fingerprint() for one in again.teams.recipe("cleaning")] == [
        one.fingerprint() for one in config.teams.recipe("cleaning")
    ]


@pytest.mark.usefixtures("installed")
def test_both_ways_to_name_it_give_the_same_spec() -> None:
    assert config_with({"name": "quality_filter"}) == config_with({"name": CLASS})


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"name": CLASS, "min_quality": 2}, "teams.cleaning.0.min_quality: must be less than or equal to 1, not 2"),
        ({"name": "quality_filter", "min_qualty": 1}, "teams.cleaning.0.min_qualty; did you mean min_quality?"),
        ({"name": "quality_filtr"}, "unknown name 'quality_filtr'; did you mean quality_filter?"),
        ({"name": "nowhere:Mine"}, "teams.cleaning.0: operator nowhere:Mine cannot be imported (ModuleNotFoundError"),
        (
            {"name": "quality_filter.model:QualityModel"},
            "is no subclass of RowOperator, DatasetOperator or PartitionedOperator",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(recipe: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        config_with(recipe)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_of_ours_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "from typing import Literal\nfrom quality_filter.operator import QualityFilter\n"
        "class Mine(QualityFilter):\n    name: Literal['token_count'] = 'token_count'\n"
    )
    (tmp_path / "taking_a_name.py").write_text(code)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="calls itself token_count, which is an operator of autodp-ray"):
        config_with({"name": "taking_a_name:Mine"})
    info = tmp_path / "thief-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thief\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[autodp_ray.operators]\ntoken_count = taking_a_name:Mine\n")
    with pytest.raises(InputError, match="token_count is an operator of autodp-ray, and thief 1 offers another"):
        config_with({"name": "token_count"})
    (check,) = offered(offers())
    assert (check.name, check.status) == ("operator token_count", "problem")


@pytest.mark.usefixtures("installed")
def test_two_packages_with_one_name_are_told_apart_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    install(other, name="other", reference="other.operator:Other")
    monkeypatch.syspath_prepend(str(other))
    with pytest.raises(InputError, match=r"offered by other 0.1.0, quality_filter 0.1.0: name the class"):
        config_with({"name": "quality_filter"})


@pytest.mark.heavy
def test_an_edit_of_its_source_gives_another_fingerprint(tmp_path: Path) -> None:
    source = (EXAMPLE / "quality_filter" / "operator.py").read_text()
    question = f"from operators.outside import load_class; print(load_class({CLASS!r})().fingerprint())"
    (tmp_path / "quality_filter").mkdir()
    for name in ("__init__.py", "model.py"):
        (tmp_path / "quality_filter" / name).write_text((EXAMPLE / "quality_filter" / name).read_text())
    found = []
    for text in (source, source, source + "# edited\n"):
        (tmp_path / "quality_filter" / "operator.py").write_text(text)
        found.append(_python(question, path=str(tmp_path)))
    install(tmp_path, version="0.2.0")
    (tmp_path / "quality_filter-0.2.0.dist-info" / "top_level.txt").write_text("quality_filter\n")
    found.append(_python(question, path=str(tmp_path)))
    assert found[0] == found[1]
    assert len(set(found)) == 3


@pytest.mark.usefixtures("installed")
def test_the_reference_of_settings_tells_of_it() -> None:
    shown = CliRunner().invoke(app, ["config"])
    assert "## Operator quality_filter of quality_filter 0.1.0" in shown.output
    assert "| `min_quality` | number, >= 0, <= 1 | `0.5` | Least rate of an answer that stays. |" in shown.output


@pytest.mark.usefixtures("importable")
def test_the_agent_is_told_what_it_does_as_configured() -> None:
    recipe = config_with({"name": CLASS, "min_quality": 0.7}).teams.recipe("cleaning")
    assert team_words(recipe, "en") == "drops rows whose answers a quality model rates under 0.7."
    assert team_words(recipe, "zh") == "删除质量模型评分低于 0.7 的样本。"


@pytest.mark.usefixtures("importable")
def test_a_node_without_it_or_with_other_code_is_named() -> None:
    own = operator_version(CLASS)
    check_versions(CLASS, own, [said(own), said(NoAnswerInTimeError("busy"), 2)])
    with pytest.raises(RunError, match=rf"on node 10.0.0.2: operator {CLASS} has other code \(other 1"):
        check_versions(CLASS, own, [said(own), said("other 1, source 0123456789abcdef", 2)])
    with pytest.raises(RunError, match=r"on node 10.0.0.2: it cannot be imported"):
        check_versions(CLASS, own, [said(own), said(InputError("it cannot be imported"), 2)])
    assert on_nodes(CLASS, [said(own), said(own, 2)]).status == "ok"
    assert on_nodes(CLASS, [said(own), said("other 1, source 0123456789abcdef", 2)]).status == "problem"
    assert on_nodes(CLASS, [said(own), said(InputError("it cannot be imported"), 2)]).status == "problem"


@pytest.mark.heavy
def test_the_examples_own_tests_pass() -> None:
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(EXAMPLE / "tests")]
    done = subprocess.run(tests, env=_environment(str(EXAMPLE)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2_000:]


DRIVER = """
import sys
import pyarrow as pa
import ray
from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.cluster.outside_operators import require_operators
from operators.contract.resources import Resources
from operators.outside import find_class
from operators.testing.contract import table_of

ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="error")
table = table_of([{"question": "Why?", "answer": "no no no no" if at % 4 == 0 else "It rains."} for at in range(20)])
parts = [table.slice(at, 4) for at in range(0, 20, 4)]
dataset = StoredDataset.write(Storage.at(sys.argv[1] + "/in"), parts)
recipe = [find_class("quality_filter", ours=())()]
require_operators(recipe)
pool = PoolConfig(part_rows=1)
done = run_recipe(dataset, recipe, resources=Resources(), out=Storage.at(sys.argv[1] + "/out"), pool=pool)
print("ROWS", done.num_rows, done.manifest.counts)
"""


def _environment(*path: str) -> dict[str, str]:
    root = str(Path(__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*path, root])}


def _python(code: str, *arguments: str, path: str) -> str:
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=_environment(path), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.ray
def test_workers_of_ray_run_it_by_reference_and_load_its_model(tmp_path: Path) -> None:
    install(tmp_path)
    loads = tmp_path / "loads"
    path = os.pathsep.join([str(EXAMPLE), str(tmp_path)])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(tmp_path)],
        env={**_environment(path), "QUALITY_FILTER_LOADS": str(loads)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert "ROWS 15 {'dropped:low_quality': 5}" in done.stdout, done.stderr[-2_000:]
    assert loads.read_text().split()
