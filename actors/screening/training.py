"""Trains either backbone on Ray Train, and scores the rows that it was trained and held out on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.models.embedder import SentenceEmbedder
from actors.models.source import ResolvedModel
from actors.screening.encoder_head import Floats
from actors.screening.judge import load_judge
from actors.screening.label_prompt import LABELS, labelled_records
from actors.screening.manifest import ADAPTER, MODEL, ScreenerManifest
from actors.training.job import TrainJob, read_rows
from actors.training.recipe import TrainingRecipe
from actors.training.service import TrainingService
from operators.rows.record import has_texts


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenerJob:
    """One training of a screener: plain data that travels to workers."""

    rows: str
    """Arrow IPC file of records with `needs_work: bool` and `part: string` (train, calibration or test)."""
    folder: str
    """The screener's folder, which receives the weights."""
    manifest: ScreenerManifest
    """What is known before the training: no weights, no calibration yet."""
    model: ResolvedModel
    recipe: TrainingRecipe
    """Causal LM only."""
    seed: int
    num_cpus: float
    num_gpus: float
    memo: str
    """Where embeddings are remembered, so that calibration computes none."""


def train_backbone(job: ScreenerJob, *, storage_path: str, note: Callable[[str], None]) -> None:
    """Writes the weights into the job's folder; `note` is told what the workers wait for.

    Raises: RunError where the training failed.
    """
    if job.manifest.backbone == "causal_lm":
        _train_labels(job, storage_path, note)
        return
    from actors.screening.encoder_training import HeadJob, train_head  # torch: only for a command that trains

    embedder = SentenceEmbedder(model=job.model, memo=job.memo)
    head = HeadJob(rows=job.rows, folder=job.folder, embedder=embedder, seed=job.seed)
    worker = {"CPU": job.num_cpus} | ({"GPU": job.num_gpus} if job.num_gpus else {})
    train_head(head, storage_path=storage_path, worker=worker, note=note)


def score_rows(job: ScreenerJob) -> Floats:
    """Uncalibrated scores of all rows [N] in the calling process, NaN for rows without question or answer."""
    table = read_rows((job.rows,))
    complete = has_texts(table).to_numpy(zero_copy_only=False)
    scores = np.full(table.num_rows, np.nan)
    judge = load_judge(Path(job.folder), job.manifest, memo=job.memo)
    scores[complete] = judge.scores(table.filter(pa.array(complete)))
    return scores


def _train_labels(job: ScreenerJob, storage_path: str, note: Callable[[str], None]) -> None:
    """Fine-tunes the causal LM on the label texts with the project's own trainer (paper, equation 3)."""
    table = read_rows((job.rows,))
    in_training = np.array(table["part"].to_pylist()) == "train"
    rows = table.filter(pa.array(in_training & has_texts(table).to_numpy(zero_copy_only=False)))
    clean, needs_work = LABELS[job.manifest.language]
    records = labelled_records(
        rows,
        [needs_work if one else clean for one in rows["needs_work"].to_pylist()],
        language=job.manifest.language,
        domain=job.manifest.domain,
    )
    recipe = job.recipe.model_copy(update={"max_length": job.manifest.max_length})
    name = ADAPTER if recipe.method == "lora" else MODEL
    export = str(Path(job.folder, name))
    service = TrainingService(recipe, storage_path=storage_path, note=note)
    try:
        service.run(TrainJob(model=job.model, recipe=recipe, seed=job.seed, train=records, export_folder=export))
    finally:
        service.close()
