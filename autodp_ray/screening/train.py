"""`autodp screen train`: collect rows, label them, train on Ray Train, calibrate, measure, write the folder.

A screener is trained apart from any run. Its rows share no near-duplicates with those that a run of the same config
reads; a run with another config checks that again (`screener_overlap.require_apart`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from actors.llm.client import ChatClient
from actors.llm.server import start_llm, stop_llm
from actors.models.source import DEFAULT_EMBEDDER, ResolvedModel, resolve_model
from actors.screening.encoder_head import Floats
from actors.screening.features import FEATURE_VERSION
from actors.screening.label_prompt import label_prompt_digest
from actors.screening.manifest import (
    ADAPTER,
    HEAD,
    MANIFEST,
    MODEL,
    TRAINING_ROWS,
    Calibration,
    ScreenerManifest,
    weight_digests,
)
from actors.screening.training import ScreenerJob, score_rows, train_backbone
from actors.storage.storage import Storage
from autodp_ray.clock import RunClock
from autodp_ray.cluster.privacy import require_allowed
from autodp_ray.cluster.ray import Cluster, require_lasting, require_shared
from autodp_ray.cluster.starting import said_while_starting
from autodp_ray.config.run_config import Config
from autodp_ray.preparation.input_rows import language_of
from autodp_ray.preparation.overlap import sketches_to_bytes
from autodp_ray.progress import Progress
from autodp_ray.screening.annotation import Annotator
from autodp_ray.screening.card import FIGURES, TrainedScreener, screener_card
from autodp_ray.screening.metrics import best_threshold, fit_calibration, measure
from autodp_ray.screening.output_folder import held_output, require_empty_output
from autodp_ray.screening.rows import CLEAN, PARTS, Collected, assign_parts, collect_rows, damaged_rows, with_labels
from operators.contract.errors import InputError
from operators.contract.redaction import redacted
from operators.likeness.row_sketches import sketch_rows
from operators.rows.record import has_texts

CARD = "README.md"
MIN_ROWS_PER_LABEL = 5
"""Of each label in each part; fewer teach and tell nothing."""
_WORK, _ROWS = "work", "rows.arrow"
_UNFINISHED = ".autodp-unfinished"
"""Says that what lies beside it is a training's that broke off, and may be deleted."""
_FILES = (_WORK, HEAD, ADAPTER, MODEL, TRAINING_ROWS, FIGURES, CARD)
"""What a training that breaks off may leave in its folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenerPlan:
    """What is going to be trained; everything that can be wrong with it is checked."""

    config: Config
    output: Storage
    collected: Collected
    language: Literal["en", "zh"]
    source: str
    """The model's name, and below what it stands for."""
    model: ResolvedModel
    clock: RunClock

    @property
    def domain(self) -> str:
        return (self.config.screener.train.dataset or self.config.dataset).domain


def plan_screener(config: Config, *, output: str) -> ScreenerPlan:
    """Read and check; needs no Ray. Raises: InputError for rows, a model or an output that cannot be."""
    clock = RunClock()
    require_lasting(output, what="--output")
    target = Storage.at(output)
    if not target.is_local:
        raise InputError(
            f"--output {output!r}: a screener's folder is local or mounted, since models are loaded from it"
        )
    broke_off = target.exists(_UNFINISHED) and not target.exists(MANIFEST)
    if not broke_off:
        require_empty_output(target)
    for name in _FILES if broke_off else ():
        target.delete(name)
    training = config.screener.train
    collected = collect_rows(config)
    source = training.model or (DEFAULT_EMBEDDER if training.backbone == "encoder" else config.models.tuned.model)
    return ScreenerPlan(
        config=config,
        output=target,
        collected=collected,
        language=language_of(training.dataset or config.dataset, [collected.table]),
        source=source,
        model=resolve_model(source),
        clock=clock,
    )


def train_screener(plan: ScreenerPlan, *, cluster: Cluster, progress: Progress) -> TrainedScreener:
    """Label, train, calibrate and write the folder; the manifest comes last.

    Raises: EndpointError where an annotating model cannot be reached, RunError where the training fails.
    """
    require_shared(plan.output, cluster)
    with held_output(plan.output):
        return _trained(plan, cluster, progress)


def _trained(plan: ScreenerPlan, cluster: Cluster, progress: Progress) -> TrainedScreener:
    rows, counts = _labelled(plan, cluster, progress)
    _require_both_labels(rows)
    plan.output.write_text(_UNFINISHED, "a screener is being trained here by autodp screen train\n")
    work = plan.output.folder(_WORK)
    work.write_table(_ROWS, rows)
    job = _job(plan, work)
    progress.phase("training the screener")
    train_backbone(job, storage_path=work.uri("ray"), note=progress.note)
    with said_while_starting(progress, "calibrating the screener"):
        task = ray.remote(num_cpus=job.num_cpus, num_gpus=job.num_gpus)(score_rows)
        scores = ray.get(task.remote(job))
    done = _finished(plan, job, rows, counts=counts, scores=scores)
    work.delete()
    plan.output.delete(_UNFINISHED)
    return done


def _labelled(plan: ScreenerPlan, cluster: Cluster, progress: Progress) -> tuple[pa.Table, Mapping[str, int]]:
    """Rows with `kind`, `needs_work` and `part`, and what the annotation counted."""
    training, table = plan.config.screener.train, plan.collected.table
    if training.labels == "corruption":
        return damaged_rows(table, training.corruption, assign_parts(table["id"].to_pylist(), training)), {}
    with _annotator(plan, cluster, progress) as annotator:
        progress.phase("annotating rows")
        table, kinds = annotator.annotate(table, rows_per_score=training.rows_per_score, on_progress=progress.rows)
    parts = assign_parts(table["id"].to_pylist(), training)
    return with_labels(table, kinds, parts.tolist()), dict(annotator.counts)


@contextmanager
def _annotator(plan: ScreenerPlan, cluster: Cluster, progress: Progress) -> Iterator[Annotator]:
    """The operators' LLM, which may see rows."""
    config = plan.config
    require_allowed("operators", config.models.operators, config.privacy, cluster_hosts=cluster.hosts)
    with said_while_starting(progress):
        endpoint = start_llm(config.models.operators)
    try:
        client = ChatClient(endpoint, config.models.operators, role="operators")
        yield Annotator(completer=client, language=plan.language, domain=plan.domain, seed=config.screener.train.seed)
    finally:
        stop_llm(endpoint)


def _require_both_labels(rows: pa.Table) -> None:
    """Raises: InputError where a part lacks clean rows, or complete rows that need work."""
    complete = rows.filter(has_texts(rows))
    for name in PARTS:
        labels = complete.filter(pc.equal(complete["part"], name))["needs_work"].to_pylist()
        if min(labels.count(True), labels.count(False)) < MIN_ROWS_PER_LABEL:
            raise InputError(
                f"of {len(labels)} complete rows for {name}, {labels.count(True)} need work and {labels.count(False)} "
                f"are clean; a screener needs {MIN_ROWS_PER_LABEL} of each: give more rows (screener.train.dataset), "
                "or a larger screener.train.held_out_frac"
            )


def _job(plan: ScreenerPlan, work: Storage) -> ScreenerJob:
    training = plan.config.screener.train
    teaches_labels = training.backbone == "causal_lm"
    manifest = ScreenerManifest(
        backbone=training.backbone,
        model=plan.source,
        model_revision=plan.model.revision,
        feature_version=FEATURE_VERSION,
        language=plan.language,
        domain=plan.domain,
        max_length=training.max_length,
        precision=training.recipe.precision,
        prompt_digest=label_prompt_digest(language=plan.language, domain=plan.domain) if teaches_labels else "",
        calibration=Calibration(),
        threshold=0.5,
        weights={},
    )
    return ScreenerJob(
        rows=work.path(_ROWS),
        folder=plan.output.location,
        manifest=manifest,
        model=plan.model,
        recipe=training.recipe,
        seed=training.seed,
        num_cpus=training.num_cpus,
        num_gpus=training.num_gpus,
        memo=work.path("embeddings.sqlite"),
    )


def _finished(
    plan: ScreenerPlan, job: ScreenerJob, rows: pa.Table, *, counts: Mapping[str, int], scores: Floats
) -> TrainedScreener:
    """Calibrates on one held-out part, measures on the other, and writes what the folder still lacks."""
    parts, kinds = np.array(rows["part"].to_pylist()), rows["kind"].to_pylist()
    needs_work, complete = np.array([kind != CLEAN for kind in kinds]), ~np.isnan(scores)
    fitted = (parts == "calibration") & complete
    calibration = fit_calibration(scores[fitted], needs_work[fitted])
    probabilities = np.ones(len(scores))
    probabilities[complete] = calibration.probabilities(scores[complete])
    threshold = best_threshold(probabilities[fitted], needs_work[fitted])
    of_test = np.flatnonzero(parts == "test")
    figures = measure(probabilities[of_test], [kinds[row] for row in of_test], threshold=threshold)
    manifest = job.manifest.model_copy(
        update={
            "calibration": calibration,
            "threshold": threshold,
            "weights": weight_digests(Path(plan.output.location)),
        }
    )
    training = plan.config.screener.train
    trained = TrainedScreener(
        output=plan.output.shown,
        revision=manifest.revision,
        backbone=manifest.backbone,
        model=manifest.model,
        model_revision=manifest.model_revision,
        dataset=redacted((training.dataset or plan.config.dataset).path),
        labels=training.labels,
        language=manifest.language,
        domain=manifest.domain,
        rows_read=plan.collected.num_read,
        rows_copied_from_the_run=plan.collected.num_copies,
        rows={name: int((parts == name).sum()) for name in PARTS},
        label_counts=dict(counts),
        calibration=calibration,
        figures=figures,
        seconds=round(plan.clock.total, 1),
    )
    output = plan.output
    output.write_bytes(TRAINING_ROWS, sketches_to_bytes(sketch_rows(plan.collected.table)))
    output.write_text(FIGURES, trained.model_dump_json(indent=2))
    output.write_text(CARD, screener_card(trained))
    output.write_text(MANIFEST, manifest.model_dump_json(indent=2))
    return trained
