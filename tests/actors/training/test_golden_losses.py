"""The losses of small trainings are those that are written down: what should not matter to a training does not.

A change of packing, of the split model or of an upstream version that moves a loss shows here. Where the losses shall
change, write the files anew: `AUTODP_WRITE_LOSSES=1 python -m pytest tests/actors/training/test_golden_losses.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from transformers import PreTrainedModel

from actors.models.source import resolve_model
from actors.training import split_model, tuned_model
from actors.training.job import TrainJob, TrainOutcome
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.trainer import run_job
from operators.rows.record import RECORD_SCHEMA

GOLDEN = Path(__file__).parents[2] / "assets" / "losses"
RTOL = 1e-4
"""What float32 may differ by between CPUs with and without AVX512."""
WORDS = ("what", "is", "the", "dose", "ask", "a", "doctor", "rain", "in", "spain", "fox", "lazy")
BASE = TrainingRecipe(learning_rate=1e-3, batch_size=4, budget="steps", steps=8, max_length=64)
RECIPES = {
    "lora": BASE.model_copy(update={"lora": LoraRecipe(rank=4)}),
    "lora_top_layer": BASE.model_copy(update={"lora": LoraRecipe(rank=4, num_top_layers=1)}),
    "full": BASE.model_copy(update={"method": "full"}),
}


def rows(num_rows: int, *, start: int) -> pa.Table:
    """Rows of different lengths, so that batches are packed."""

    def text(at: int, size: int) -> str:
        return " ".join(WORDS[(at * step + step) % len(WORDS)] for step in range(1, size))

    found = [
        {"id": f"r{at}", "history": [], "question": text(at, 3 + at % 5), "answer": text(at + 1, 3 + at % 7)}
        for at in range(start, start + num_rows)
    ]
    return pa.Table.from_pylist([{**row, "origin": "source"} for row in found], schema=RECORD_SCHEMA)


def measured(outcome: TrainOutcome) -> dict[str, list[float]]:
    return {"train": list(outcome.train_losses), "held_out_nll": list(outcome.evaluation["held_out"].nll_sums)}


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "a_sequence_a_row"])
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_losses_of_a_small_training_are_those_that_are_written_down(
    name: str, packed: bool, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decided: list[bool] = []

    def packs(model: PreTrainedModel) -> bool:
        decided.append(packed and split_model.packs(model))
        return decided[-1]

    monkeypatch.setattr(tuned_model, "packs", packs)
    job = TrainJob(
        model=resolve_model(str(tiny_model)),
        recipe=RECIPES[name],
        seed=1,
        train=rows(20, start=0),
        evaluation={"held_out": rows(7, start=100)},
    )
    found, file = measured(run_job(job)), GOLDEN / f"{name}.json"
    assert set(decided) == {packed}
    if packed and os.environ.get("AUTODP_WRITE_LOSSES"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    written = json.loads(file.read_text(encoding="utf-8"))
    assert set(found) == set(written)
    for kind, losses in found.items():
        assert losses == pytest.approx(written[kind], rel=RTOL), kind
