"""Fits the encoder backbone's head inside a Ray Train worker.

The classifiers are torch, not boosted trees: measured on three splits of real pairs they are as good or better
(truncation 0.93 against 0.92, another question's answer 0.89 against 0.89) and are plain arrays afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
import torch
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.train.v2.api.exceptions import TrainingFailedError
from torch import Tensor

from actors.models.embedder import SentenceEmbedder
from actors.screening.encoder_head import Classifiers, EncoderHead, Floats, OneClass, strangeness_of
from actors.screening.encoder_judge import encode_rows
from actors.screening.manifest import HEAD
from actors.training.group import MAX_STARTS, await_places
from actors.training.job import read_rows, row_free_message
from actors.training.missing_workers import MissingWorkers
from operators.contract.errors import RunError
from operators.rows.record import has_texts

MAX_RESTARTS = 1
"""Of a worker that dies, as it does with its node."""
NUM_CLASSIFIERS = 8
HIDDEN_UNITS = 32
EPOCHS = 100
LEARNING_RATE = 1e-2
WEIGHT_DECAY = 0.2
DROPOUT = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadJob:
    """What a worker fits, and where it writes the head."""

    rows: str
    """Arrow IPC file of records with `needs_work: bool` and `part: string`: train, calibration or test."""
    folder: str
    embedder: SentenceEmbedder
    seed: int
    num_threads: int = 1


class _Settings(TypedDict):
    job: HeadJob


def train_head(job: HeadJob, *, storage_path: str, worker: Mapping[str, float], note: Callable[[str], None]) -> None:
    """Fits the head on Ray Train and writes it into the job's folder.

    `worker` is what the worker holds of a node; while none has room for it, `note` is told what it waits for.

    Raises: RunError where the worker failed, or died too often.
    """
    await_places()
    run_config: Any = RunConfig(  # Ray's stubs name the class of Train v1
        name="screener-head",
        storage_path=storage_path,
        failure_config=FailureConfig(max_failures=MAX_RESTARTS, controller_failure_limit=MAX_STARTS),
    )
    trainer_class: Any = DataParallelTrainer  # the same for its settings and its result
    trainer = trainer_class(
        _fit_in_worker,
        train_loop_config={"job": job},
        scaling_config=ScalingConfig(num_workers=1, use_gpu="GPU" in worker, resources_per_worker=dict(worker)),
        run_config=run_config,
    )
    try:
        with MissingWorkers(worker, note=note).watched():
            failure = trainer.fit().return_value
    except TrainingFailedError as error:
        raise RunError(
            f"the worker that trains the screener died ({type(error).__name__}); see the logs of Ray"
        ) from error
    if failure is not None:
        raise RunError(f"the training of the screener failed: {failure}")


def _fit_in_worker(settings: _Settings) -> str | None:
    """Writes the head; what goes wrong comes back as a message without row text."""
    job = settings["job"]
    torch.set_num_threads(job.num_threads)
    table = read_rows((job.rows,))
    table = table.filter(has_texts(table))
    try:
        head = fit_head(table, embedder=job.embedder, seed=job.seed)
    except Exception as error:
        return row_free_message(error, [table])
    Path(job.folder, HEAD).write_bytes(head.to_bytes())
    return None


def fit_head(table: pa.Table, *, embedder: SentenceEmbedder, seed: int) -> EncoderHead:
    """The head from labelled rows: fitted on the part `train`; `calibration` says how strange is strange.

    All parts are encoded at once, so that whoever scores them next finds their embeddings remembered.
    """
    features, cosines = encode_rows(table, embedder)
    needs_work = table["needs_work"].to_numpy(zero_copy_only=False).astype(bool)
    part = np.array(table["part"].to_pylist())
    train, clean = part == "train", ~needs_work
    one_class = OneClass.fit(features[train & clean])
    inputs = one_class.inputs(features[train], cosines[train])
    return EncoderHead(
        one_class=one_class,
        classifiers=fit_classifiers(inputs, needs_work[train], seed=seed),
        strange=strangeness_of(one_class.distances(features[(part == "calibration") & clean])),
    )


def fit_classifiers(inputs: Floats, labels: np.ndarray, *, seed: int) -> Classifiers:
    """An ensemble fitted side by side on inputs [N, F] and labels bool [N]; both labels weigh the same."""
    generator = torch.Generator().manual_seed(seed)
    center, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
    x = torch.tensor((inputs - center) / spread, dtype=torch.float32)
    y = torch.tensor(labels, dtype=torch.float32).expand(NUM_CLASSIFIERS, -1)
    share = float(labels.mean())
    weights = torch.where(y > 0, 0.5 / max(share, 1e-6), 0.5 / max(1.0 - share, 1e-6))
    parameters = _initial(x.shape[1], generator)
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        logits = _logits(x, parameters, generator)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, weight=weights, reduction="none")
        losses.mean(dim=1).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    first, first_bias, last, last_bias = (one.detach().double().numpy() for one in parameters)
    # Standardisation becomes part of the first layer.
    scaled = first / spread[None, :, None]
    return Classifiers(
        hidden_weights=np.ascontiguousarray(scaled),
        hidden_bias=np.ascontiguousarray(first_bias - np.einsum("f,efh->eh", center, scaled)),
        output_weights=last,
        output_bias=last_bias,
    )


def _initial(num_inputs: int, generator: torch.Generator) -> list[Tensor]:
    def uniform(*shape: int, fan_in: int) -> Tensor:
        values = (torch.rand(*shape, generator=generator) * 2 - 1) / math.sqrt(fan_in)
        return values.requires_grad_()

    return [
        uniform(NUM_CLASSIFIERS, num_inputs, HIDDEN_UNITS, fan_in=num_inputs),
        uniform(NUM_CLASSIFIERS, HIDDEN_UNITS, fan_in=num_inputs),
        uniform(NUM_CLASSIFIERS, HIDDEN_UNITS, fan_in=HIDDEN_UNITS),
        uniform(NUM_CLASSIFIERS, fan_in=HIDDEN_UNITS),
    ]


def _logits(x: Tensor, parameters: list[Tensor], generator: torch.Generator) -> Tensor:
    """[E, N], with dropout on the hidden units."""
    first, first_bias, last, last_bias = parameters
    hidden = torch.relu(torch.einsum("nf,efh->enh", x, first) + first_bias[:, None])
    kept = (torch.rand(hidden.shape, generator=generator) >= DROPOUT) / (1.0 - DROPOUT)
    return torch.einsum("enh,eh->en", hidden * kept, last) + last_bias[:, None]
