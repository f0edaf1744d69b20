"""What a screener sees: AUC per kind of damage, of kinds that it was trained on and of kinds that it never saw; rows/s.

Rows are real, the damage is seeded. A kind is measured on held-out rows, all of which it hits, against the same rows
as they are. Fitting happens in this process; `autodp screen train` does the same inside a Ray Train worker.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from actors.models.embedder import SentenceEmbedder
from actors.models.source import DEFAULT_EMBEDDER, resolve_model
from actors.screening.client import served_screener
from actors.screening.encoder_head import EncoderHead, Floats
from actors.screening.encoder_judge import encode_rows
from actors.screening.encoder_training import fit_head
from actors.screening.features import FEATURE_VERSION
from actors.screening.manifest import HEAD, MANIFEST, Calibration, ScreenerManifest, weight_digests
from actors.screening.screener import local_screener
from actors.screening.server import start_screener, stop_screener
from actors.screening.spec import ScreenerCalls, ScreenerSpec
from autodp_ray.config.screener_config import SCREENED_KINDS, ScreenerTraining
from autodp_ray.damage.corruption import CorruptionConfig, CorruptionKind, corrupt
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.records.row_groups import row_groups
from autodp_ray.screening.metrics import area_under_curve
from autodp_ray.screening.rows import assign_parts, damaged_rows
from operators.rows.record import RECORD_COLUMNS, is_complete

ENGLISH = "pkg:chatterbot_corpus/english"
SURFACE: tuple[CorruptionKind, ...] = ("markup", "repetition", "mojibake", "missing_answer", "missing_question")
SEMANTIC: tuple[CorruptionKind, ...] = ("truncated_answer", "wrong_answer")
UNSEEN_BAR, SEEN_BAR, CHANCE = 0.90, 0.85, 0.50
SEEDS = (0, 1, 2)
SMOKE_ROWS = 200
TIMED_ROWS = 512


def run(rows: int | None = None, smoke: bool = False) -> dict[str, Any]:
    """AUC per kind on the English conversations and rows/s, with gates. Wants a running Ray for the served part."""
    table = real_rows(ENGLISH, limit=rows or (SMOKE_ROWS if smoke else None))
    with tempfile.TemporaryDirectory(prefix="autodp-screener-") as folder:
        embedder = SentenceEmbedder.of(memo=Path(folder, "embeddings.sqlite"))
        curves = areas(table, embedder, seeds=SEEDS[:1] if smoke else SEEDS)
        speed = throughput(table, embedder, Path(folder, "screener"))
    return {"figures": {"rows": table.num_rows, **curves, **speed}, "gates": _gates(curves)}


def real_rows(path: str, *, limit: int | None = None) -> pa.Table:
    """Complete rows of a dataset, one of each group of near-duplicates."""
    batches = read_records(DatasetConfig(path=path), on_quarantine=ReasonCounts())
    table = pa.concat_tables([batch.select(RECORD_COLUMNS) for batch in batches])
    table = table.filter(is_complete(table))
    return table.take(np.unique(row_groups(table))).slice(0, limit)


def areas(table: pa.Table, embedder: SentenceEmbedder, *, seeds: Sequence[int] = SEEDS) -> dict[str, Any]:
    """`unseen` (trained on all kinds but this one) and `seen`: AUC of each kind, the mean over seeds."""
    found: dict[str, dict[str, list[float]]] = {"unseen": {}, "seen": {}}
    for seed in seeds:
        task = _Task.of(table, embedder, seed=seed)
        everything = task.fit(without=None)
        for kind in SCREENED_KINDS:
            found["seen"].setdefault(kind, []).append(task.area(everything, kind))
            found["unseen"].setdefault(kind, []).append(task.area(task.fit(without=kind), kind))
    means = {name: {kind: round(float(np.mean(of)), 3) for kind, of in kinds.items()} for name, kinds in found.items()}
    return {"auc_unseen": means["unseen"], "auc_seen": means["seen"], "seeds": len(seeds)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """Labelled rows to fit on, and clean rows to measure on."""

    labelled: pa.Table
    held_out: pa.Table
    embedder: SentenceEmbedder
    seed: int

    @classmethod
    def of(cls, table: pa.Table, embedder: SentenceEmbedder, *, seed: int) -> _Task:
        training = ScreenerTraining(seed=seed)
        parts = assign_parts(table["id"].to_pylist(), training)
        damage = training.corruption.model_copy(update={"seed": seed})
        return cls(
            labelled=damaged_rows(table, damage, parts),
            held_out=table.filter(pa.array(parts == "test")),
            embedder=embedder,
            seed=seed,
        )

    def fit(self, *, without: CorruptionKind | None) -> EncoderHead:
        rows = self.labelled.filter(is_complete(self.labelled))
        if without is not None:
            rows = rows.filter(pc.not_equal(rows["kind"], without))
        return fit_head(rows, embedder=self.embedder, seed=self.seed)

    def area(self, head: EncoderHead, kind: CorruptionKind) -> float:
        hit = corrupt(self.held_out, CorruptionConfig(rate=1.0, kinds={kind: 1.0}, seed=self.seed + 100))
        damaged = hit.table.filter(pc.is_in(hit.table["id"], hit.truth["id"]))
        scores = np.concatenate([self._scores(head, self.held_out), self._scores(head, damaged)])
        area = area_under_curve(scores, np.arange(len(scores)) >= self.held_out.num_rows)
        assert area is not None
        return area

    def _scores(self, head: EncoderHead, table: pa.Table) -> Floats:
        """1 for a row that lacks a field, as the screener says of it unasked."""
        complete = is_complete(table).to_numpy(zero_copy_only=False)
        scores = np.ones(table.num_rows)
        scores[complete] = head.scores(*encode_rows(table.filter(pa.array(complete)), self.embedder))
        return scores


def throughput(table: pa.Table, embedder: SentenceEmbedder, folder: Path) -> dict[str, Any]:
    """Rows/s in this process and served, in batches and row by row; nothing is remembered between them."""
    write_screener(table, embedder, folder)
    rows = _distinct(table, TIMED_ROWS)
    local = local_screener(str(folder))
    local.needs_work(rows.slice(0, 1))  # loads the model
    spec = ScreenerSpec(folder=str(folder), app_name="screener-benchmark", num_threads=2)
    figures = {"local_batched": _rows_per_s(local.needs_work, [rows])}
    ray.init(address="local", ignore_reinit_error=True, include_dashboard=False, log_to_driver=False)
    url, is_held = start_screener(spec)
    try:
        served = served_screener(url, calls=ScreenerCalls(rows_per_request=64))
        figures["served_batched"] = _rows_per_s(served.needs_work, [rows])
        single = [rows.slice(at, 1) for at in range(min(64, rows.num_rows))]
        figures["served_row_by_row"] = _rows_per_s(served.needs_work, single)
    finally:
        if is_held:
            stop_screener(spec)
    return {"rows_per_s": figures}


def _distinct(table: pa.Table, num_rows: int) -> pa.Table:
    """`num_rows` rows, no two alike: the answers are numbered where the rows have to be used again."""
    taken = table.take(np.arange(num_rows) % table.num_rows)
    numbers = pa.array([f" ({at})" for at in range(num_rows)])
    return taken.set_column(3, taken.schema.field("answer"), pc.binary_join_element_wise(taken["answer"], numbers, ""))


def write_screener(table: pa.Table, embedder: SentenceEmbedder, folder: Path) -> None:
    """A screener's folder that can be served, uncalibrated."""
    task = _Task.of(table, embedder, seed=0)
    folder.mkdir(parents=True)
    (folder / HEAD).write_bytes(task.fit(without=None).to_bytes())
    manifest = ScreenerManifest(
        backbone="encoder",
        model=DEFAULT_EMBEDDER,
        model_revision=resolve_model(DEFAULT_EMBEDDER).revision,
        feature_version=FEATURE_VERSION,
        language="en",
        domain="general",
        max_length=512,
        precision="fp32",
        calibration=Calibration(),
        threshold=0.5,
        weights=weight_digests(folder),
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())


def _rows_per_s(screen: Callable[[pa.Table], object], batches: Sequence[pa.Table]) -> float:
    started = time.perf_counter()
    for batch in batches:
        screen(batch)
    num_rows: int = sum(batch.num_rows for batch in batches)
    return round(num_rows / (time.perf_counter() - started), 1)


def _gates(curves: dict[str, Any]) -> list[dict[str, float | str | bool]]:
    bars = [("auc_unseen", kind, UNSEEN_BAR) for kind in SURFACE]
    bars += [("auc_unseen", kind, CHANCE) for kind in SEMANTIC] + [("auc_seen", kind, SEEN_BAR) for kind in SEMANTIC]
    gates: list[dict[str, float | str | bool]] = []
    for name, kind, bar in bars:
        value = curves[name][kind]
        ok = value > bar if bar == CHANCE else value >= bar
        gates.append({"name": f"{name}, {kind}", "value": value, "bar": bar, "ok": ok})
    return gates
