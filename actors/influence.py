"""The influence of rows on the run's guide rows: warm-up once, sketches by row, cosines summed over checkpoints.

`prepare_influence` makes the scorer in a Ray task; the scorer is plain data that loads its model where it is first
asked to compute, and remembers each row's sketches by content. Source: LESS (arXiv 2402.04333), sections 3 and 4.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray
import safetensors.numpy

from actors.gradient_sketch import projection
from actors.gradient_worker import CHUNK_ROWS, GradientWorker, Sketches
from actors.model_source import ResolvedModel
from actors.row_memo import RowMemo
from actors.storage import Storage
from actors.train_job import Rows, read_rows, row_free_message
from actors.training_recipe import TrainingRecipe
from actors.tuned_model import TunedModel
from actors.warmup import gradient_recipe, warm_up, warmup_rows
from actors.warmup_checkpoint import WarmupManifest, load_checkpoints, read_manifest, save_checkpoints
from operators.base import InfluenceScores, Operator
from operators.content_hash import content_hash
from operators.errors import AutoDPError, InputError, RunError
from operators.record import is_complete
from operators.select_by_gradient import SelectByGradient

SCORE_VERSION = 1
"""Changes when equal rows get other sketches or scores."""
MEMO_BYTES = 4 << 30
SCORE_DECIMALS = 5
"""Places of a mean cosine that count. A row's neighbours in a batch reach the seventh, and must not break a tie."""
GUIDE_FILE = "guide.safetensors"
_GUIDE = "guide"


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluenceConfig:
    """What influence is a function of, beside the rows and the guide rows: plain, hashable data."""

    model: ResolvedModel
    recipe: TrainingRecipe
    """As `gradient_recipe` makes it."""
    spec: SelectByGradient
    folder: Storage
    """Where the warm-up's checkpoints and the guide rows' sketches lie."""
    memo: Path
    """The sqlite file of row sketches, on a disk of the machine that computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientScorer:
    """Implements `operators.base.InfluenceScorer`. Plain data until it computes, so it travels to workers as it is."""

    config: InfluenceConfig
    revision: str
    """Digest of everything but the scored row: model, warm-up, guide rows, projection, lengths."""
    sketch_revision: str
    """The same without the guide rows."""
    learning_rates: tuple[float, ...]

    def score(self, table: pa.Table) -> InfluenceScores:
        """Influence of each row; rows of equal content are computed once, those seen before not at all."""
        keys = [_row_key(row, self.sketch_revision) for row in _content(table)]
        first_rows = {key: row for row, key in reversed(list(enumerate(keys)))}
        complete = is_complete(table).to_numpy(zero_copy_only=False)
        wanted = [key for key, row in first_rows.items() if complete[row]]
        values: dict[str, float] = {}
        num_computed = 0
        for start in range(0, len(wanted), CHUNK_ROWS):
            some = wanted[start : start + CHUNK_ROWS]
            sketches, computed = self._sketches(table, {key: first_rows[key] for key in some})
            values.update(zip(some, self._influence(sketches).tolist(), strict=True))
            num_computed += computed
        scores = np.array([values.get(key, np.nan) for key in keys], dtype=np.float64)
        return InfluenceScores(values=scores, num_computed=num_computed)

    def _sketches(self, table: pa.Table, rows: dict[str, int]) -> tuple[Sketches, int]:
        """Sketches [N, C, D] of the rows, and how many were computed; a row without gradient has NaN."""
        memo = _memo(self.config.memo)
        known = memo.get(list(rows))
        missing = [key for key in rows if key not in known]
        if missing:
            made = _LOADED.worker(self.config).sketch(table.take([rows[key] for key in missing]), kind="training")
            fresh = dict(zip(missing, made.astype(np.float16).reshape(len(missing), -1), strict=True))
            memo.put(fresh)
            known |= fresh
        stacked = np.stack([known[key] for key in rows]).astype(np.float32)
        sketches: Sketches = stacked.reshape(len(rows), len(self.learning_rates), -1)
        return sketches, len(missing)

    def _influence(self, sketches: Sketches) -> np.ndarray:
        """Sum over checkpoints of learning rate x mean cosine, for each row's best guide group; [N]."""
        guide = _guide_means(self.config.folder.location, self.revision)
        rates = np.array(self.learning_rates)
        # Summed row by row rather than by a matrix product, whose last bits depend on the number of rows.
        cosines = np.stack([(sketches * group).sum(axis=2, dtype=np.float64) for group in guide], axis=1)
        mean = (cosines @ rates).max(axis=1) / rates.sum()
        scores: np.ndarray = np.round(mean, SCORE_DECIMALS) * rates.sum()
        return scores


def prepare_influence(
    spec: SelectByGradient,
    *,
    model: ResolvedModel,
    recipe: TrainingRecipe,
    raw: Rows,
    guide: pa.Table,
    storage: Storage,
    memo: Path,
    num_cpus: float = 1.0,
) -> GradientScorer:
    """The run's scorer; warms up on the raw sample in a Ray task, unless `storage` holds the finished warm-up.

    Raises:
        InputError: guide rows or raw rows that nothing can be learnt from. RunError: the warm-up failed.
    """
    config = _config(spec, model=model, recipe=recipe, raw=raw, storage=storage, memo=memo)
    task = ray.remote(num_cpus=num_cpus, num_gpus=config.recipe.num_gpus_per_worker)(_prepare_in_task)
    made = ray.get(task.remote(config, raw, guide))
    if isinstance(made, AutoDPError):
        raise made
    return made


def prepare_here(
    spec: SelectByGradient,
    *,
    model: ResolvedModel,
    recipe: TrainingRecipe,
    raw: Rows,
    guide: pa.Table,
    storage: Storage,
    memo: Path,
) -> GradientScorer:
    """`prepare_influence` in the calling process."""
    return _prepare(_config(spec, model=model, recipe=recipe, raw=raw, storage=storage, memo=memo), raw, guide)


def influence_spec(operators: Sequence[Operator]) -> SelectByGradient | None:
    """The spec that a run's scorer is made from, if any of its operators needs one.

    Raises:
        InputError: two of them want different scores; a run has one warm-up.
    """
    specs = [operator for operator in operators if isinstance(operator, SelectByGradient)]
    different = {_scoring(spec).model_dump_json() for spec in specs}
    if len(different) > 1:
        raise InputError("select_by_gradient occurs with different settings; in one run only keep_frac may differ")
    return specs[0] if specs else None


def _config(
    spec: SelectByGradient,
    *,
    model: ResolvedModel,
    recipe: TrainingRecipe,
    raw: Rows,
    storage: Storage,
    memo: Path,
) -> InfluenceConfig:
    """The warm-up's folder is named by what goes into it, so a resumed run finds its own and no other."""
    recipe, spec = gradient_recipe(recipe), _scoring(spec)
    parts = [str(content_hash(read_rows(raw))), model.revision, recipe.fingerprint(), spec.fingerprint()]
    name = _sha256(SCORE_VERSION, *parts)[:16]
    return InfluenceConfig(model=model, recipe=recipe, spec=spec, folder=storage.folder(f"warmup-{name}"), memo=memo)


def _scoring(spec: SelectByGradient) -> SelectByGradient:
    """The spec with a fixed `keep_frac`, which no score depends on."""
    return spec.model_copy(update={"keep_frac": 1.0})


def _prepare_in_task(config: InfluenceConfig, raw: Rows, guide: pa.Table) -> GradientScorer | AutoDPError:
    """The scorer, or its error as a value: Ray's wrapping would print what an error quotes."""
    try:
        return _prepare(config, raw, guide)
    except AutoDPError as error:
        return error
    except Exception as error:
        return RunError(f"the warm-up failed: {row_free_message(error, [read_rows(raw), guide])}")


def _prepare(config: InfluenceConfig, raw: Rows, guide: pa.Table) -> GradientScorer:
    manifest = read_manifest(config.folder) or _warm_up(config, read_rows(raw))
    spec, recipe = config.spec, config.recipe
    parts = [config.model.revision, manifest.digest, spec.fingerprint(), recipe.fingerprint()]
    scorer = GradientScorer(
        config=config,
        revision=_sha256(SCORE_VERSION, *parts, str(content_hash(guide))),
        sketch_revision=_sha256(SCORE_VERSION, *parts),
        learning_rates=manifest.learning_rates,
    )
    name = _guide_file(scorer.revision)
    if not config.folder.exists(name):
        means = _mean_by_group(_LOADED.worker(config).sketch(guide, kind="guide"), guide, column=spec.guide_column)
        config.folder.write_bytes(name, safetensors.numpy.save({_GUIDE: means}))
    return scorer


def _warm_up(config: InfluenceConfig, raw: pa.Table) -> WarmupManifest:
    rows = warmup_rows(raw, spec=config.spec, recipe=config.recipe)
    tuned = _LOADED.tuned(config.model.path, config.recipe)
    checkpoints = warm_up(tuned, config.model.path, rows, spec=config.spec, recipe=config.recipe)
    return save_checkpoints(config.folder, checkpoints, num_rows=rows.num_rows)


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


def _content(table: pa.Table) -> list[object]:
    """What a row's gradient is a function of."""
    columns = [table[name].to_pylist() for name in ("history", "question", "answer")]
    return list(zip(*columns, strict=True))


def _row_key(content: object, revision: str) -> str:
    return _sha256(revision, content)


def _sha256(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def _guide_file(revision: str) -> str:
    return f"{revision[:16]}-{GUIDE_FILE}"


@cache
def _memo(path: Path) -> RowMemo:
    return RowMemo(path, max_bytes=MEMO_BYTES)


@lru_cache(maxsize=4)
def _guide_means(location: str, revision: str) -> Sketches:
    """[G, C, D]"""
    return safetensors.numpy.load(Storage(location).read_bytes(_guide_file(revision)))[_GUIDE]


class LoadedModel:
    """What a process keeps between parts and strategies: one model, and the worker that was made with it last."""

    def __init__(self) -> None:
        self._key: tuple[str, TrainingRecipe] | None = None
        self._tuned: TunedModel | None = None
        self._config: InfluenceConfig | None = None
        self._worker: GradientWorker | None = None

    def tuned(self, folder: str, recipe: TrainingRecipe) -> TunedModel:
        if self._tuned is None or self._key != (folder, recipe):
            self._tuned = self._worker = None  # frees the old weights before the new ones come
            self._tuned, self._key = TunedModel(folder, recipe), (folder, recipe)
        return self._tuned

    def worker(self, config: InfluenceConfig) -> GradientWorker:
        """The worker for a finished warm-up."""
        tuned = self.tuned(config.model.path, config.recipe)
        if self._worker is None or self._config != config:
            spec = config.spec
            self._config = config
            self._worker = GradientWorker(
                tuned,
                recipe=config.recipe,
                checkpoints=load_checkpoints(config.folder),
                projection=projection(spec.projection, dim=spec.projection_dim, seed=spec.seed),
                momentum=spec.momentum,
            )
        return self._worker


_LOADED = LoadedModel()
