"""The reference of config fields: every field has a sentence, and CONFIG.md is what the command prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from actors.llm.spec import ENGINES
from autodp_ray.cli.main import app
from autodp_ray.config.reference import FieldEntry, reference, reference_text, schema_text
from autodp_ray.config.run_config import Config

CONFIG_MD = Path(__file__).parents[3] / "CONFIG.md"


def field(title: str, name: str) -> FieldEntry:
    (section,) = [section for section in reference() if section.title == title]
    (found,) = [one for one in section.fields if one.name == name]
    return found


def test_the_checked_in_reference_is_what_the_command_prints() -> None:
    shown = CliRunner().invoke(app, ["config"])
    assert shown.exit_code == 0, shown.output
    hint = "make it anew: autodp config > CONFIG.md"
    assert shown.output == CONFIG_MD.read_text(encoding="utf-8"), hint


def test_every_field_of_every_section_has_a_sentence() -> None:
    fields = [(f"{section.title}: {one.name}", one.meaning) for section in reference() for one in section.fields]
    silent = [name for name, meaning in fields if not re.fullmatch(r"[A-Z`].{15,}\.", meaning)]
    assert silent == [], "write one beneath the field"


def test_every_section_of_a_config_is_there_once() -> None:
    titles = [section.title for section in reference()]
    assert len(set(titles)) == len(titles)
    assert {one.name for one in reference()[0].fields} == set(Config.model_fields)
    assert {"dataset", "training.lora", "Operator select_by_gradient", "decoding"} <= set(titles)
    assert {f"models.agent, engine {engine}" for engine in ENGINES} <= set(titles)


def test_a_field_has_type_bounds_default_and_meaning() -> None:
    assert field("search", "max_rounds") == FieldEntry(
        name="max_rounds",
        type="whole number, >= 1",
        default="`5`",
        meaning="The most rounds of a search; the policy may stop earlier.",
    )
    assert field("dataset", "path").default == "required"
    assert field("training", "deepspeed").type == "`zero2` or `zero3` or null"
    assert field("models", "operators").type == "section `models.agent`"  # a class is told once
    assert field("Operator generate_question", "decoding").default == '`{"max_tokens": 256}`'
    assert field("Operator strip_markup", "seed").meaning  # inherited


def test_no_cell_breaks_its_table() -> None:
    rows = [line for line in reference_text().splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} == {5}


def test_the_schema_knows_every_section_and_what_a_form_may_be_called() -> None:
    schema = json.loads(schema_text())
    assert schema["properties"].keys() == {*Config.model_fields, "seed"}
    forms = schema["$defs"]["DatasetConfig"]["properties"]["form"]
    assert {"alpaca", "sharegpt", "chat", "columns"} <= set(re.findall(r"\w+", json.dumps(forms)))


ROOT = Path(__file__).parents[3]
WRITTEN = [*sorted((ROOT / "configs").rglob("*.yaml")), ROOT / "examples" / "custom_operator" / "config.yaml"]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_schema_takes_what_configs_may_say(path: Path) -> None:
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert schema_faults(values) == []
    assert schema_faults({**values, "seed": 3, "search": {"policy": "random", "stop": ["patience"]}}) == []
    assert schema_faults({**values, "tracking": "mlflow", "sampling": {"method": {"name": "random"}}}) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"search": {"policy": "guess"}},
        {"evaluation": {"evaluator": {"name": "judge", "strict": True}}},
        {"teams": {"cleaning": [{"name": "strip_markup", "tag": "all"}]}},
        {"seed": -1},
        {"epochs": 3},
    ],
)
def test_the_schema_refuses_what_a_config_may_not_say(wrong: dict[str, object]) -> None:
    values = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text(encoding="utf-8"))
    assert schema_faults({**values, **wrong}) != []


def schema_faults(values: object) -> list[str]:
    """What an editor would underline."""
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    return [fault.message for fault in validator.iter_errors(values)]


def test_the_schema_says_of_every_field_what_it_means() -> None:
    schema = json.loads(schema_text())
    fields = [
        (section, name, field)
        for section, found in {"Config": schema, **schema["$defs"]}.items()
        for name, field in found.get("properties", {}).items()
    ]
    assert len(fields) > 250
    silent = [f"{section}.{name}" for section, name, field in fields if not {"description", "$ref"} & field.keys()]
    assert {name.rpartition(".")[2] for name in silent} <= {"name"}
    rate = schema["$defs"]["SamplingConfig"]["properties"]["rate"]
    assert rate["description"] == "The share of the rows that is drawn."
