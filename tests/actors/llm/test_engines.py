"""Chat engines are a family: own fields only, one union, and a new member needs no line elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from actors.llm.client import ChatClient
from actors.llm.engines.base import EnginePackage, LLMSpec
from actors.llm.engines.endpoint import EndpointLLM
from actors.llm.engines.transformers import TransformersLLM
from actors.llm.engines.vllm import VllmLLM
from actors.llm.server import build_app, start_llm
from actors.llm.spec import ENGINES, read_spec
from operators.contract.errors import InputError

ROOT = Path(__file__).parents[3]


class DirectoryLLM(LLMSpec):
    """A member from nowhere: a service that is found by a name of its own."""

    packages: ClassVar[tuple[EnginePackage, ...]] = (
        EnginePackage(module="directory", distributions=("directory",), install="pip install directory"),
    )
    engine: Literal["directory"] = "directory"
    service: str

    @property
    def outside_url(self) -> str:
        return f"http://{self.service}.internal/v1"

    @property
    def headers(self) -> Mapping[str, str]:
        return {"x-service": self.service}

    def expected_revision(self) -> str:
        return f"{self.service}-1"


def test_a_new_engine_is_reached_asked_and_keyed_through_its_own_class() -> None:
    union: TypeAdapter[LLMSpec] = TypeAdapter(
        Annotated[TransformersLLM | DirectoryLLM, Field(discriminator="engine")],
    )
    spec = union.validate_python({"engine": "directory", "model": "m", "service": "chat"})
    endpoint = start_llm(spec)
    assert (endpoint.base_url, endpoint.revision) == ("http://chat.internal/v1", "chat-1")
    assert ChatClient(endpoint, spec).revision == "m@chat-1"
    assert not spec.is_ours
    assert (spec.held_cpus, spec.held_gpus) == (0, 0)


def test_the_engine_is_transformers_where_none_is_named() -> None:
    assert read_spec({"model": "m"}) == TransformersLLM(model="m")
    assert {name: type(read_spec({"engine": name, "model": "m", **needed})) for name, needed in NEEDED.items()} == {
        "transformers": TransformersLLM,
        "vllm": VllmLLM,
        "endpoint": EndpointLLM,
    }
    assert ENGINES.keys() == NEEDED.keys()


NEEDED: Mapping[str, Mapping[str, object]] = {
    "transformers": {},
    "vllm": {},
    "endpoint": {"base_url": "http://127.0.0.1:9/v1"},
}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_url": "http://127.0.0.1:9/v1"}, "base_url belongs to engine 'endpoint', not to 'transformers'"),
        ({"engine": "vllm", "batch_wait_s": 0.1}, "batch_wait_s belongs to engine 'transformers', not to 'vllm'"),
        ({"engine": "endpoint", "num_cpus": 1}, "num_cpus belongs to engine 'transformers' or 'vllm'"),
        ({"num_gpus": 1}, "is for CPUs: for num_gpus above 0 use engine 'vllm'"),
        ({"engine": "endpoint"}, "base_url\n  Field required"),
        ({"engine": "vlm"}, "'vlm'"),
        ({"modle": "m"}, "modle"),
    ],
)
def test_a_field_of_another_engine_is_refused_with_the_engine_that_has_it(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        read_spec({"model": "m", **fields})
    assert message in str(caught.value)


def test_no_gpus_said_is_no_gpus() -> None:
    assert read_spec({"model": "m", "num_gpus": 0}) == TransformersLLM(model="m")


def test_an_endpoint_of_others_is_nothing_to_deploy() -> None:
    with pytest.raises(InputError, match="nothing to deploy"):
        build_app({"model": "m", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1"})


@pytest.mark.parametrize("engine", ENGINES.values())
def test_revisions_of_specs_are_those_that_caches_hold_already(engine: type[LLMSpec]) -> None:
    revisions: dict[type[LLMSpec], str | None] = {
        TransformersLLM: TransformersLLM(model="m", dtype="float32").served_revision("w"),
        VllmLLM: VllmLLM(model="m", dtype="bfloat16", engine_kwargs={"seed": 1}).served_revision("w"),
        EndpointLLM: EndpointLLM(model="m", base_url="u", revision="r").expected_revision(),
    }
    held: dict[type[LLMSpec], str] = {
        TransformersLLM: "w+2+transformers+float32+4096",
        VllmLLM: 'w+vllm+bfloat16+4096+{"seed": 1}',
        EndpointLLM: "r",
    }
    assert revisions[engine] == held[engine]


def test_specs_load_nothing_heavy() -> None:
    heavy = "{'ray', 'torch', 'transformers', 'vllm', 'openai'}"
    code = f"import sys, actors.llm.spec; print(sorted({heavy} & sys.modules.keys()))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "[]"


def test_no_engine_is_compared_by_name() -> None:
    code = [path.read_text() for layer in ("actors", "autodp_ray") for path in (ROOT / layer).rglob("*.py")]
    assert not [text for text in code if ".engine ==" in text or ".engine !=" in text]
