"""DeepSpeed ZeRO-2 and ZeRO-3 for real, on two CPU workers; the first engine compiles its communication for a minute.

Needs the `deepspeed` package: a machine without it fails here, it does not skip.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForCausalLM

from actors.models.source import resolve_model
from actors.training.job import TrainJob, TrainOutcome
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.service import TrainingService
from actors.training.trainer import run_job
from operators.rows.record import RECORD_SCHEMA

pytestmark = [pytest.mark.slow, pytest.mark.ray]

Stage = Literal["zero2", "zero3"]
FULL = TrainingRecipe(
    method="full",
    learning_rate=1e-3,
    batch_size=4,
    budget="steps",
    steps=6,
    max_length=64,
    num_cpus_per_worker=0.5,
    micro_batch_size=1,
)
LORA = FULL.model_copy(update={"method": "lora", "lora": LoraRecipe(rank=4), "learning_rate": 1e-2})


def table(num_rows: int, *, prefix: str = "r") -> pa.Table:
    rows = [
        {"id": f"{prefix}{at}", "history": [], "question": f"what is {at}", "answer": f"it is {at} and a doctor"}
        for at in range(num_rows)
    ]
    return pa.Table.from_pylist([{**row, "origin": "source"} for row in rows], schema=RECORD_SCHEMA)


def job(model: Path, recipe: TrainingRecipe, *, seed: int = 1) -> TrainJob:
    evaluation = {"held_out": table(7, prefix="h")}
    return TrainJob(model=resolve_model(str(model)), recipe=recipe, seed=seed, train=table(9), evaluation=evaluation)


def sharded(recipe: TrainingRecipe, stage: Stage) -> TrainingRecipe:
    return recipe.model_copy(update={"deepspeed": stage, "num_workers": 2})


def held_out(outcome: TrainOutcome) -> float:
    return outcome.evaluation["held_out"].mean_nll()


@pytest.mark.parametrize(
    ("plain", "stage"), [(FULL, "zero2"), (LORA, "zero2"), (FULL, "zero3")], ids=["zero2", "zero2_lora", "zero3"]
)
def test_a_sharded_training_gives_the_losses_of_one_worker_and_exports_a_model(
    tiny_model: Path, tmp_path: Path, local_ray: None, plain: TrainingRecipe, stage: Stage
) -> None:
    expected = run_job(job(tiny_model, plain))
    recipe = sharded(plain, stage)
    service = TrainingService(
        recipe.model_copy(update={"deepspeed": None}),
        storage_path=str(tmp_path / "storage"),
    )
    try:
        wanted = replace(job(tiny_model, recipe), export_folder=str(tmp_path / "model"))
        first = service.run(wanted)
        again = service.run(job(tiny_model, recipe))
    finally:
        service.close()
    assert first.train_losses == pytest.approx(expected.train_losses, abs=1e-4)
    assert held_out(first) == pytest.approx(held_out(expected), abs=1e-4)
    assert first.train_losses[-1] < first.train_losses[0]
    assert again.train_losses == pytest.approx(first.train_losses, abs=1e-6)
    if plain.method == "full":
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
        assert all(torch.isfinite(weight).all() for weight in model.parameters())
        whole = run_job(replace(job(tmp_path / "model", FULL), train=None))
        assert held_out(whole) == pytest.approx(held_out(first), abs=1e-3)


@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_a_sharded_training_goes_on_from_its_last_checkpoint(
    tiny_model: Path, tmp_path: Path, local_ray: None, stage: Stage
) -> None:
    recipe = sharded(FULL, stage).model_copy(update={"steps": 10})
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    wanted = replace(job(tiny_model, recipe), checkpoint_folder=str(checkpoints))
    service = TrainingService(
        recipe.model_copy(update={"deepspeed": None}),
        storage_path=str(tmp_path / "storage"),
    )
    try:
        unbroken = service.run(wanted)
        last = max(checkpoints.iterdir(), key=lambda path: int(path.name.partition("-")[2]))
        last.rename(tmp_path / "gone")
        resumed = service.run(wanted)
    finally:
        service.close()
    assert math.isclose(held_out(resumed), held_out(unbroken), abs_tol=1e-4)
    assert resumed.train_losses == pytest.approx(unbroken.train_losses, abs=1e-4)
