"""Rows and a hand-made screener folder for the screener's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.models.embedder import SentenceEmbedder
from actors.models.source import resolve_model
from actors.screening.encoder_training import fit_head
from actors.screening.features import FEATURE_VERSION
from actors.screening.manifest import HEAD, MANIFEST, Calibration, ScreenerManifest, weight_digests
from autodp_ray.config.screener_config import SCREENED_KINDS, ScreenerTraining
from autodp_ray.damage.corruption import CorruptionConfig
from autodp_ray.screening.rows import assign_parts, damaged_rows
from operators.rows.record import RECORD_SCHEMA, is_complete

THINGS = ("river", "engine", "garden", "planet", "kitchen", "library", "harbour", "mountain", "violin", "market")
PLACES = ("north", "city", "valley", "village", "coast", "desert", "forest", "island", "school", "station")


def clean_rows(num_rows: int = 160) -> pa.Table:
    """Short English pairs, no two of them alike."""
    rows = []
    for at in range(num_rows):
        thing, place = THINGS[at % 10], PLACES[at // 10 % 10]
        question = f"What should a visitor know about the {thing} in the {place} of region {at}?"
        answer = f"The {thing} of region {at} opens at {at % 12 + 1} and was built near the {place}. Bring good shoes."
        rows.append({"id": f"r{at}", "history": [], "question": question, "answer": answer, "origin": "source"})
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def labelled_rows(table: pa.Table) -> pa.Table:
    """The rows with half of them damaged, with `kind`, `needs_work` and `part`."""
    damage = CorruptionConfig(rate=0.5, kinds=dict.fromkeys(SCREENED_KINDS, 1.0))
    return damaged_rows(table, damage, assign_parts(table["id"].to_pylist(), ScreenerTraining()))


def make_screener(folder: Path, encoder: Path, *, threshold: float = 0.5) -> Path:
    """Trains the encoder backbone in this process and writes its folder."""
    folder.mkdir(parents=True)
    model = resolve_model(str(encoder))
    rows = labelled_rows(clean_rows())
    embedder = SentenceEmbedder(model=model)
    head = fit_head(rows.filter(is_complete(rows)), embedder=embedder, seed=0)
    (folder / HEAD).write_bytes(head.to_bytes())
    manifest = ScreenerManifest(
        backbone="encoder",
        model=str(encoder),
        model_revision=model.revision,
        feature_version=FEATURE_VERSION,
        language="en",
        domain="general",
        max_length=128,
        precision="fp32",
        calibration=Calibration(),
        threshold=threshold,
        weights=weight_digests(folder),
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    return folder


def with_answer(table: pa.Table, answer: str | None) -> pa.Table:
    """The rows with one answer."""
    return table.set_column(3, RECORD_SCHEMA.field("answer"), pa.array([answer] * table.num_rows, pa.string()))


def shuffled(table: pa.Table, seed: int = 0) -> tuple[pa.Table, np.ndarray]:
    """The rows in another order, and that order."""
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return table.take(order), order
