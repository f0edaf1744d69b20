"""What influence is a function of. Loads no Ray and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from actors.models.source import ResolvedModel
from actors.storage.storage import Storage
from actors.training.recipe import TrainingRecipe
from operators.select_by_gradient import SelectByGradient

CHUNK_ROWS = 256
"""Rows whose sketches are made, and remembered, together."""


Sketches = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluenceConfig:
    """What influence is a function of, beside the rows and the guide rows: plain, hashable data."""

    model: ResolvedModel
    recipe: TrainingRecipe
    spec: SelectByGradient
    folder: Storage
    """Where the warm-up's checkpoints and the guide rows' sketches lie."""
    memo: Path | None
