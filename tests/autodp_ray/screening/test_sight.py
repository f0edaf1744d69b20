"""What a screener sees with the real encoder on real rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.models.embedder import SentenceEmbedder
from benchmarks.screener import CHANCE, ENGLISH, SEEN_BAR, SEMANTIC, SURFACE, UNSEEN_BAR, areas, real_rows

pytestmark = pytest.mark.slow


def test_unseen_surface_damage_and_seen_semantic_damage_are_told_from_clean_rows(tmp_path: Path) -> None:
    embedder = SentenceEmbedder.of(memo=tmp_path / "embeddings.sqlite")
    found = areas(real_rows(ENGLISH), embedder, seeds=(0,))
    for kind in SURFACE:
        assert found["auc_unseen"][kind] >= UNSEEN_BAR, kind
    for kind in SEMANTIC:
        assert found["auc_unseen"][kind] > CHANCE, kind
        assert found["auc_seen"][kind] >= SEEN_BAR, kind
