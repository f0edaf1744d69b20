"""A model runs on a GPU only where Ray gave one to its process, and every loader asks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
import sentence_transformers
import torch

from actors.cpu_engine import engine
from actors.models import embedder
from actors.models.device import device
from actors.models.source import ResolvedModel, resolve_model
from actors.screening import label_judge
from actors.screening.manifest import MODEL, Calibration, ScreenerManifest


def in_a_worker(monkeypatch: pytest.MonkeyPatch, *, gpus: list[str], sees_gpu: bool = True) -> None:
    context = SimpleNamespace(get_accelerator_ids=lambda: {"GPU": gpus, "TPU": []})
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: sees_gpu)


def test_a_worker_without_a_gpu_of_its_own_computes_on_the_cpu_of_a_gpu_node(monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_worker(monkeypatch, gpus=[])
    assert device() == "cpu"


def test_a_worker_that_holds_a_gpu_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_worker(monkeypatch, gpus=["3"])
    assert device() == "cuda"


def test_a_gpu_that_torch_cannot_see_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    in_a_worker(monkeypatch, gpus=["0"], sees_gpu=False)
    assert device() == "cpu"


def test_a_process_outside_of_ray_takes_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device() == "cpu"


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_ray_tells_a_driver_of_no_gpu() -> None:
    assert ray.get_runtime_context().get_accelerator_ids()["GPU"] == []
    assert device() == "cpu"


def test_the_chat_engine_asks(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "device", lambda: "meta")
    assert engine.TransformersEngine(str(tiny_model)).model.device.type == "meta"


def test_the_label_judge_asks(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / MODEL).symlink_to(tiny_model)
    manifest = ScreenerManifest(
        backbone="causal_lm",
        model=str(tiny_model),
        model_revision=resolve_model(str(tiny_model)).revision,
        feature_version=1,
        language="en",
        domain="general",
        max_length=320,
        precision="fp32",
        calibration=Calibration(),
        threshold=0.5,
        weights={},
    )
    monkeypatch.setattr(label_judge, "device", lambda: "meta")
    judge = label_judge.LabelJudge.load(tmp_path, manifest, base=str(tiny_model))
    assert judge.model.device.type == "meta"


def test_the_embedder_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", lambda path, device: asked.append(device))
    monkeypatch.setattr(embedder, "device", lambda: "meta")
    monkeypatch.setattr(ResolvedModel, "path", str(tmp_path))
    embedder.load_model(ResolvedModel(source="fake", revision="1"))
    assert asked == ["meta"]
