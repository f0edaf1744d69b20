"""How the vllm engine is built: through ray.serve.llm, with every knob in its place; here without vllm itself."""

from __future__ import annotations

import shutil
import sys
import types
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import JsonValue

from actors.llm import server
from actors.llm.engines import transformers
from actors.llm.engines.transformers import TransformersLLM
from actors.llm.engines.vllm import VllmLLM
from actors.llm.server import build_app
from actors.llm.spec import read_spec
from actors.serve import hosting
from operators.contract.errors import InputError


@dataclass
class FakeLLMConfig:
    """Takes the keywords that ray.serve.llm.LLMConfig takes."""

    model_loading_config: dict[str, object]
    engine_kwargs: dict[str, object] = field(default_factory=dict)
    placement_group_config: dict[str, object] = field(default_factory=dict)
    deployment_config: dict[str, object] = field(default_factory=dict)
    server_cls: str = ""


@pytest.fixture
def built_with_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ray.serve.llm")
    module.LLMConfig = FakeLLMConfig  # type: ignore[attr-defined]
    module.build_openai_app = lambda args: args  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray.serve.llm", module)


@pytest.mark.usefixtures("built_with_fakes")
def test_the_spec_s_knobs_reach_the_vllm_application() -> None:
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
            "num_cpus": 2,
            "bundle_per_worker": {"GPU": 1, "CPU": 3},
            "engine_kwargs": {"gpu_memory_utilization": 0.8},
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
        "gpu_memory_utilization": 0.8,
    }
    assert config.placement_group_config == {"bundle_per_worker": {"GPU": 1, "CPU": 3}}
    assert config.deployment_config["ray_actor_options"] == {"num_cpus": 2}
    assert config.deployment_config["autoscaling_config"]["min_replicas"] == 0
    assert config.deployment_config["autoscaling_config"]["max_replicas"] == 2
    assert app["ingress_deployment_config"]["ray_actor_options"] == {"num_cpus": 0}  # type: ignore[index]
    replicas = [config.server_cls, app["ingress_cls_config"]["ingress_cls"]]  # type: ignore[index]
    assert replicas == ["actors.llm.vllm_replicas.VLLMServer", "actors.llm.vllm_replicas.VLLMIngress"]


@pytest.mark.usefixtures("built_with_fakes")
def test_a_packaged_model_is_served_under_a_name_without_a_colon(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "tiny_packaged"
    package.mkdir()
    (package / "__init__.py").touch()
    shutil.copytree(tiny_model, package / "model")
    monkeypatch.syspath_prepend(str(tmp_path))
    app: object = build_app({"model": "pkg:tiny_packaged", "engine": "vllm"})
    (config,) = app["llm_configs"]  # type: ignore[index]
    assert config.model_loading_config == {"model_id": "pkg-tiny_packaged", "model_source": str(package / "model")}
    assert TransformersLLM(model="pkg:tiny_packaged").served_name == "pkg:tiny_packaged", (
        "our own server knows no adapters"
    )


def test_what_a_replica_holds_is_its_own_share_and_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.llm.engines.vllm.multiplies_bf16", lambda: False)
    on_gpus = VllmLLM(model="m", tensor_parallel=4)
    assert (on_gpus.cpus_per_replica, on_gpus.gpus_per_replica, on_gpus.resolved_dtype) == (1, 4, "bfloat16")
    on_cpus = VllmLLM(model="m", num_cpus=0.5, bundle_per_worker={"CPU": 2})
    assert (on_cpus.cpus_per_replica, on_cpus.gpus_per_replica, on_cpus.resolved_dtype) == (2.5, 0, "float32")
    staged = VllmLLM(model="m", tensor_parallel=4, engine_kwargs={"pipeline_parallel_size": 2})
    assert (staged.num_stages, staged.cpus_per_replica, staged.gpus_per_replica) == (2, 1, 8)
    on_tpus = VllmLLM(model="m", bundle_per_worker={"TPU": 4, "CPU": 1})
    assert (on_tpus.cpus_per_replica, on_tpus.gpus_per_replica, on_tpus.resolved_dtype) == (2, 0, "bfloat16")
    ours = TransformersLLM(model="m", num_cpus=3)
    assert (ours.cpus_per_replica, ours.gpus_per_replica) == (3, 0)


def test_further_arguments_of_the_engine_are_part_of_the_revision_in_any_order() -> None:
    def revision(**engine_kwargs: JsonValue) -> str:
        spec = VllmLLM(model="m", dtype="float32", engine_kwargs=engine_kwargs)
        return spec.served_revision("w")

    assert revision() == "w+vllm+float32+4096"
    assert revision(seed=1, quantization="fp8") == revision(quantization="fp8", seed=1)
    assert len({revision(), revision(seed=1), revision(seed=2)}) == 3


def test_specs_that_differ_in_the_engine_s_arguments_alone_are_two_models() -> None:
    specs = [VllmLLM(model="m", engine_kwargs={"seed": seed}) for seed in (1, 2, 2)]
    assert len(set(specs)) == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"engine": "transformers", "engine_kwargs": {"seed": 1}}, "belongs to engine 'vllm'"),
        ({"engine": "transformers", "bundle_per_worker": {"CPU": 1}}, "belongs to engine 'vllm'"),
        ({"engine": "vllm", "engine_kwargs": {"max_num_seqs": 4}}, "max_batch_size"),
        ({"engine": "vllm", "bundle_per_worker": {}}, "at least 1"),
    ],
)
def test_arguments_of_the_engine_that_mean_nothing_or_have_a_field_are_refused(
    fields: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build_app({"model": "m", **fields})


def test_a_hub_model_that_vllm_fetches_has_a_revision_only_where_it_is_pinned() -> None:
    def expected(model: str) -> str | None:
        return VllmLLM(model=model).expected_revision()

    assert expected("Qwen/Qwen3-32B") is None
    assert expected("Qwen/Qwen3-32B@abc123") == "Qwen/Qwen3-32B@abc123+vllm+bfloat16+4096"


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


@pytest.mark.usefixtures("built_with_fakes")
@pytest.mark.parametrize(
    ("engine", "spans", "loaded"),
    [("vllm", False, False), ("transformers", False, True), ("transformers", True, False)],
)
def test_the_driver_loads_only_what_a_replica_on_its_machine_serves(
    engine: str, spans: bool, loaded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hosting, "ensure_serve", lambda: "http://10.0.0.1:8000")
    monkeypatch.setattr(server, "spans_machines", lambda: spans)
    monkeypatch.setattr(transformers, "resolve_model", asked.append)
    monkeypatch.setattr(hosting, "hold_application", lambda build, **named: build() is not None)
    monkeypatch.setattr(server, "_declared_revision", lambda *given, **named: "1")
    server.start_llm(read_spec({"model": "Qwen/Qwen3-32B", "engine": engine}))
    assert asked == (["Qwen/Qwen3-32B"] if loaded else [])
