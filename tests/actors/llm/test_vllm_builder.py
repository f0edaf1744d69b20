"""How the vllm engine is built: through ray.serve.llm, with every knob in its place; here without vllm itself."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field

import pytest

from actors.llm import server
from actors.llm.server import build_app
from actors.llm.spec import LLMSpec
from operators.errors import InputError


@dataclass
class FakeLLMConfig:
    """Takes the keywords that ray.serve.llm.LLMConfig takes."""

    model_loading_config: dict[str, object]
    engine_kwargs: dict[str, object] = field(default_factory=dict)
    deployment_config: dict[str, object] = field(default_factory=dict)


def test_the_spec_s_knobs_reach_the_vllm_application(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ray.serve.llm")
    module.LLMConfig = FakeLLMConfig  # type: ignore[attr-defined]
    module.build_openai_app = lambda args: args  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray.serve.llm", module)
    app: object = build_app(
        {
            "model": "Qwen/Qwen3-32B@abc123",
            "engine": "vllm",
            "tensor_parallel": 4,
            "dtype": "bfloat16",
            "max_model_len": 8192,
            "max_batch_size": 64,
            "min_replicas": 0,
            "max_replicas": 2,
        }
    )
    (config,) = app["llm_configs"]  # type: ignore[index]
    assert config.model_loading_config == {"model_id": "Qwen/Qwen3-32B@abc123", "model_source": "Qwen/Qwen3-32B"}
    assert config.engine_kwargs == {
        "tensor_parallel_size": 4,
        "dtype": "bfloat16",
        "max_model_len": 8192,
        "max_num_seqs": 64,
        "revision": "abc123",
    }
    assert config.deployment_config["autoscaling_config"]["min_replicas"] == 0
    assert config.deployment_config["autoscaling_config"]["max_replicas"] == 2


def test_without_vllm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.serve.llm", None)  # as if it could not be imported
    with pytest.raises(InputError, match=r"autodp-ray\[gpu\]"):
        build_app({"model": "Qwen/Qwen3-32B", "engine": "vllm"})


def test_a_folder_that_is_not_there_is_told_at_once_and_a_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ray.serve.llm")
    module.LLMConfig = FakeLLMConfig  # type: ignore[attr-defined]
    module.build_openai_app = lambda args: args  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray.serve.llm", module)
    with pytest.raises(InputError, match="there is no such folder"):
        build_app({"model": "/no/such/model", "engine": "vllm"})


@pytest.mark.parametrize(
    ("engine", "spans", "loaded"),
    [("vllm", False, False), ("transformers", False, True), ("transformers", True, False)],
)
def test_the_driver_loads_only_what_a_replica_on_its_machine_serves(
    engine: str, spans: bool, loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(server, "ensure_serve", lambda: "http://10.0.0.1:8000")
    monkeypatch.setattr(server, "spans_machines", lambda: spans)
    monkeypatch.setattr(server, "resolve_model", asked.append)
    monkeypatch.setattr(server, "build_app", lambda args: None)
    monkeypatch.setattr(server, "hold_application", lambda build, **named: build() is None)
    monkeypatch.setattr(server, "_declared_revision", lambda *given, **named: "1")
    server.start_llm(LLMSpec.model_validate({"model": "Qwen/Qwen3-32B", "engine": engine}))
    assert asked == (["Qwen/Qwen3-32B"] if loaded else [])
