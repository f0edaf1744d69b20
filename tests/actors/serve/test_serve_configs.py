"""The Serve files that we ship: no unknown key at any depth, args that an engine takes, addresses on loopback."""

from __future__ import annotations

import types
import typing
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

from actors.llm.engines.base import ServedLLM
from actors.llm.engines.vllm import VllmLLM
from actors.llm.server import build_app
from actors.llm.spec import read_spec
from actors.screening.server import build_app as build_screener
from actors.screening.spec import ScreenerSpec
from operators.contract.errors import InputError

FOLDER = Path(__file__).parents[3] / "serve_configs"
FILES = sorted(FOLDER.glob("*.yaml"))


def unknown_keys(value: object, annotation: object, path: str = "") -> list[str]:
    """Keys of parsed YAML that the pydantic models beneath `annotation` do not declare; Serve itself ignores them."""
    models = [item for item in _flat(annotation) if isinstance(item, type) and issubclass(item, BaseModel)]
    if isinstance(value, list):
        return [key for i, item in enumerate(value) for key in unknown_keys(item, annotation, f"{path}[{i}]")]
    if not isinstance(value, dict) or not models:
        return []
    fields = {name: field.annotation for model in models for name, field in model.model_fields.items()}
    aliases = {
        field.alias: field.annotation for model in models for field in model.model_fields.values() if field.alias
    }
    fields.update(aliases)
    found = []
    for key, item in value.items():
        if key not in fields:
            found.append(f"{path}.{key}")
        else:
            found.extend(unknown_keys(item, fields[key], f"{path}.{key}"))
    return found


def _flat(annotation: object) -> list[object]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, list):
        return [leaf for argument in typing.get_args(annotation) for leaf in _flat(argument)]
    return [annotation]


@pytest.fixture(params=FILES, ids=lambda file: file.name)
def config(request: pytest.FixtureRequest) -> dict[str, typing.Any]:
    loaded = yaml.safe_load(request.param.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def test_models_and_screener_have_a_file_for_either_machine() -> None:
    assert [file.name for file in FILES] == [
        "llm.cpu.yaml",
        "llm.gpu.yaml",
        "screener.cpu.yaml",
        "screener.gpu.yaml",
    ]


def test_serve_accepts_the_file_and_knows_every_key(config: dict[str, typing.Any]) -> None:
    ServeDeploySchema.model_validate(config)
    assert unknown_keys(config, ServeDeploySchema) == []


def test_a_misspelt_key_is_found_at_any_depth(config: dict[str, typing.Any]) -> None:
    config["http_option"] = {}
    config["http_options"]["hots"] = "x"
    config["applications"][0]["imprt_path"] = "x"
    ServeDeploySchema.model_validate(config)
    found = unknown_keys(config, ServeDeploySchema)
    assert sorted(found) == [".applications[0].imprt_path", ".http_option", ".http_options.hots"]


def test_the_args_are_the_fields_of_a_spec_and_agree_with_the_application(config: dict[str, typing.Any]) -> None:
    (application,) = config["applications"]
    is_screener = application["name"] == "screener"
    spec = ScreenerSpec.model_validate(application["args"]) if is_screener else read_spec(application["args"])
    assert isinstance(spec, ScreenerSpec | ServedLLM)
    assert application["name"] == spec.app_name
    assert application["route_prefix"] == f"/{spec.app_name}"
    assert "start_timeout_s" not in application["args"]  # only who starts an application reads it, and Serve does here
    build = build_screener if is_screener else build_app
    assert application["import_path"] == f"{build.__module__}:{build.__name__}"


def test_http_listens_on_loopback(config: dict[str, typing.Any]) -> None:
    assert config["http_options"]["host"] == "127.0.0.1"


def test_the_gpu_file_serves_the_paper_s_model_from_zero() -> None:
    config = yaml.safe_load((FOLDER / "llm.gpu.yaml").read_text(encoding="utf-8"))
    spec = read_spec(config["applications"][0]["args"])
    assert isinstance(spec, VllmLLM)
    assert (spec.model, spec.engine, spec.tensor_parallel, spec.min_replicas) == ("Qwen/Qwen3-32B", "vllm", 4, 0)
    assert spec.max_replicas * spec.tensor_parallel <= 16


def test_the_screeners_file_builds_an_application_and_wrong_args_do_not() -> None:
    config = yaml.safe_load((FOLDER / "screener.cpu.yaml").read_text(encoding="utf-8"))
    assert build_screener(config["applications"][0]["args"]) is not None
    with pytest.raises(InputError, match="args are wrong"):
        build_screener({"folder": "x", "max_batch": 3})


def test_the_cpu_file_builds_an_application() -> None:
    config = yaml.safe_load((FOLDER / "llm.cpu.yaml").read_text(encoding="utf-8"))
    assert build_app(config["applications"][0]["args"]) is not None


@pytest.mark.parametrize(
    "args",
    [
        {"model": "m", "tempratur": 1},
        {},
        {"model": "m", "engine": "endpoint", "base_url": "http://127.0.0.1:1/v1"},
        {"model": "m", "engine": "transformers", "tensor_parallel": 2},
        {"model": "m", "min_replicas": 3, "max_replicas": 2},
        {"model": "m", "engine": "endpoint"},
        {"model": "m", "base_url": "http://127.0.0.1:1/v1"},
    ],
)
def test_wrong_args_are_an_input_error(args: dict[str, object]) -> None:
    with pytest.raises(InputError):
        build_app(args)
