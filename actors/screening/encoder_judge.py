"""Scores complete rows with the encoder backbone: surface features, and the cosine of question and answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from actors.models.embedder import SentenceEmbedder
from actors.screening.encoder_head import EncoderHead, Floats
from actors.screening.features import surface_features
from actors.screening.manifest import HEAD


def encode_rows(table: pa.Table, embedder: SentenceEmbedder) -> tuple[Floats, Floats]:
    """Surface features [N, F] and cosines [N] of question and answer."""
    questions, answers = ([text or "" for text in table[name].to_pylist()] for name in ("question", "answer"))
    embeddings = embedder.embed_matrix([*questions, *answers]).astype(np.float64)
    cosines: Floats = (embeddings[: len(questions)] * embeddings[len(questions) :]).sum(axis=1)
    return surface_features(table).astype(np.float64), cosines


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderJudge:
    """A loaded head and its encoder."""

    head: EncoderHead
    embedder: SentenceEmbedder

    @classmethod
    def load(cls, folder: Path, embedder: SentenceEmbedder) -> EncoderJudge:
        """The judge in a screener's folder."""
        return cls(head=EncoderHead.from_bytes((folder / HEAD).read_bytes()), embedder=embedder)

    def scores(self, table: pa.Table) -> Floats:
        """Uncalibrated scores [N] in (0, 1)."""
        return self.head.scores(*encode_rows(table, self.embedder))
