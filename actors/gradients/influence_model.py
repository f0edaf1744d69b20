"""What a worker keeps loaded to compute influence: the model, the warm-up that it was taken through, its gradients.

`influence` decides what is computed and remembers it; this module computes.
"""

from __future__ import annotations

import math
import uuid

import numpy as np
import pyarrow as pa
import torch

from actors.gradients.influence_config import CHUNK_ROWS, InfluenceConfig, Sketches
from actors.gradients.sketch import projection
from actors.gradients.warmup import warm_up, warmup_rows
from actors.gradients.warmup_checkpoint import load_checkpoints, save_checkpoints
from actors.gradients.warmup_manifest import WarmupManifest, find_warmup, publish, set_aside
from actors.gradients.worker import GradientWorker
from actors.models.source import ResolvedModel
from actors.training.recipe import TrainingRecipe
from actors.training.tuned_model import TunedModel
from operators.contract.errors import InputError


def warm_up_once(config: InfluenceConfig, raw: pa.Table) -> WarmupManifest:
    """The finished warm-up in the config's folder, made there first where it is missing or damaged."""
    found = find_warmup(config.folder)
    if found is not None:
        return found
    if config.folder.exists():
        set_aside(config.folder)
    rows = warmup_rows(raw, spec=config.spec, recipe=config.recipe)
    tuned = LOADED.tuned(config.model, config.recipe)
    checkpoints = warm_up(tuned, config.model, rows, spec=config.spec, recipe=config.recipe)
    work = config.folder.beside(f"-{uuid.uuid4().hex[:8]}")
    save_checkpoints(work, checkpoints, num_rows=rows.num_rows)
    return publish(work, config.folder)


def sketch_guide(config: InfluenceConfig, guide: pa.Table) -> Sketches:
    """Mean of each guide group's unit sketches, [G, C, D]: its product with a row's sketch is the mean cosine."""
    return _mean_by_group(LOADED.worker(config).sketch(guide, kind="guide"), guide, column=config.spec.guide_column)


def _mean_by_group(sketches: Sketches, guide: pa.Table, *, column: str | None) -> Sketches:
    """Mean of the guide rows' unit sketches, [G, C, D]: its product with a row's sketch is the mean of the cosines.

    Raises:
        InputError: no guide row can be scored, or the column is not there.
    """
    if column is not None and column not in guide.column_names:
        raise InputError(f"select_by_gradient.guide_column {column!r} is no column of the data: {guide.column_names}")
    names = np.array([""] * guide.num_rows if column is None else [str(one) for one in guide[column].to_pylist()])
    usable = ~np.isnan(sketches).any(axis=(1, 2))
    if not usable.any():
        raise InputError("no guide row is complete: select_by_gradient needs splits.guide above 0, of complete rows")
    return np.stack([sketches[usable & (names == name)].mean(axis=0) for name in np.unique(names[usable])])


class LoadedModel:
    """What a process keeps between parts and strategies: one model, and the worker that was made with it last."""

    def __init__(self) -> None:
        self._key: tuple[ResolvedModel, TrainingRecipe] | None = None
        self._tuned: TunedModel | None = None
        self._config: InfluenceConfig | None = None
        self._worker: GradientWorker | None = None

    def tuned(self, model: ResolvedModel, recipe: TrainingRecipe) -> TunedModel:
        if self._tuned is None or self._key != (model, recipe):
            self._tuned = self._worker = None  # frees the old weights before the new ones come
            torch.set_num_threads(recipe.num_threads or math.ceil(recipe.num_cpus_per_worker))
            self._tuned, self._key = TunedModel(model.path, recipe), (model, recipe)
        return self._tuned

    def worker(self, config: InfluenceConfig) -> GradientWorker:
        """The worker for a finished warm-up."""
        tuned = self.tuned(config.model, config.recipe)
        if self._worker is None or self._config != config:
            spec = config.spec
            self._config = config
            self._worker = GradientWorker(
                tuned,
                recipe=config.recipe,
                checkpoints=load_checkpoints(config.folder),
                projection=projection(spec.projection, dim=spec.projection_dim, seed=spec.seed),
                momentum=spec.momentum,
                chunk_rows=CHUNK_ROWS,
            )
        return self._worker


LOADED = LoadedModel()
