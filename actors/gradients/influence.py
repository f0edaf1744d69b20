"""The influence of rows on the run's guide rows: warm-up once, sketches by row, cosines summed over checkpoints.

`prepare_influence` makes the scorer in a Ray task; the scorer is plain data that loads its model where it is first
asked to compute (actors/gradients/influence_model.py), and remembers each row's sketches by content.
Source: LESS (arXiv 2402.04333), sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray

from actors.gradients.guide_file import GUIDE_FILE, has_guide, read_guide, write_guide
from actors.gradients.influence_config import CHUNK_ROWS, InfluenceConfig, Sketches
from actors.gradients.warmup_manifest import WarmupManifest, find_warmup
from actors.models.source import ResolvedModel
from actors.storage.row_memo import RowMemo
from actors.storage.storage import Storage
from actors.training.job import TrainingRows, read_rows, row_free_message
from actors.training.recipe import TrainingRecipe
from operators.contract.digest import json_digest
from operators.contract.errors import AutoDPError, InputError, RunError
from operators.contract.operator import Operator
from operators.contract.resources import InfluenceScores
from operators.rows.content_hash import content_hash
from operators.rows.record import is_complete
from operators.select_by_gradient import SelectByGradient

SCORE_VERSION = 1
"""Changes when equal rows get other sketches or scores."""
MEMO_BYTES = 4 << 30
SCORE_DECIMALS = 5
"""Places of a mean cosine that count. A row's neighbours in a batch reach the seventh, and must not break a tie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluenceInputs:
    """What a run's scorer is made from."""

    spec: SelectByGradient
    model: ResolvedModel
    recipe: TrainingRecipe
    """The run's recipe; the warm-up takes its `for_gradients`."""
    num_gpus: float = 0.0
    """Of a worker that warms up or computes gradients."""
    raw: TrainingRows
    """The raw sample that the adapters are warmed up on."""
    guide: pa.Table
    storage: Storage
    """Where warm-ups are kept, each in a folder named by what went into it."""
    memo: Path | None
    """The sqlite file of row sketches, on a disk of the machine that computes; None remembers none."""

    def config(self) -> InfluenceConfig:
        """The warm-up's folder is named by what goes into it, so a later run finds its own and no other."""
        recipe, spec = self.recipe.for_gradients(num_gpus=self.num_gpus), _scoring(self.spec)
        parts = [str(content_hash(read_rows(self.raw))), self.model.revision, recipe.fingerprint(), spec.fingerprint()]
        folder = self.storage.folder(f"warmup-{json_digest([SCORE_VERSION, *parts])[:16]}")
        return InfluenceConfig(model=self.model, recipe=recipe, spec=spec, folder=folder, memo=self.memo)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientScorer:
    """Implements the contract's `InfluenceScorer`. Plain data until it computes, so it travels to workers as it is."""

    config: InfluenceConfig
    revision: str
    """Digest of everything but the scored row: model, warm-up, guide rows, projection, lengths."""
    sketch_revision: str
    """The same without the guide rows."""
    learning_rates: tuple[float, ...]

    @property
    def guide_file(self) -> str:
        """Name of the guide rows' sketches in the warm-up's folder."""
        return f"{self.revision[:16]}-{GUIDE_FILE}"

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
        memo = None if self.config.memo is None else _memo(self.config.memo)
        known = {} if memo is None else memo.get(list(rows))
        missing = [key for key in rows if key not in known]
        if missing:
            from actors.gradients.influence_model import LOADED  # torch: loaded where gradients are computed

            made = LOADED.worker(self.config).sketch(table.take([rows[key] for key in missing]), kind="training")
            fresh = dict(zip(missing, made.astype(np.float16).reshape(len(missing), -1), strict=True))
            if memo is not None:
                memo.put(fresh)
            known |= fresh
        stacked = np.stack([known[key] for key in rows]).astype(np.float32)
        sketches: Sketches = stacked.reshape(len(rows), len(self.learning_rates), -1)
        return sketches, len(missing)

    def _influence(self, sketches: Sketches) -> np.ndarray:
        """Sum over checkpoints of learning rate x mean cosine, for each row's best guide group; [N]."""
        guide = _guide_means(self.config.folder.location, self.guide_file)
        rates = np.array(self.learning_rates)
        # Summed row by row rather than by a matrix product, whose last bits depend on the number of rows.
        cosines = np.stack([(sketches * group).sum(axis=2, dtype=np.float64) for group in guide], axis=1)
        mean = (cosines @ rates).max(axis=1) / rates.sum()
        scores: np.ndarray = np.round(mean, SCORE_DECIMALS) * rates.sum()
        return scores


def prepare_influence(inputs: InfluenceInputs, *, num_cpus: float = 1.0) -> GradientScorer:
    """The run's scorer; warms up on the raw sample in a Ray task, unless `storage` holds the finished warm-up.

    Raises:
        InputError: guide rows or raw rows that nothing can be learnt from. RunError: the warm-up failed.
    """
    found = find_influence(inputs)
    if found is not None:
        return found
    task = ray.remote(num_cpus=num_cpus, num_gpus=inputs.num_gpus)(_prepare_in_task)
    made = ray.get(task.remote(inputs))
    if isinstance(made, AutoDPError):
        raise made
    return made


def prepare_here(inputs: InfluenceInputs) -> GradientScorer:
    """`prepare_influence` in the calling process."""
    from actors.gradients.influence_model import sketch_guide, warm_up_once  # torch

    config = inputs.config()
    scorer = _scorer(config, warm_up_once(config, read_rows(inputs.raw)), inputs.guide)
    if not has_guide(config.folder, scorer.guide_file):
        write_guide(config.folder, scorer.guide_file, sketch_guide(config, inputs.guide))
    return scorer


def find_influence(inputs: InfluenceInputs) -> GradientScorer | None:
    """The scorer where its warm-up and guide sketches are finished and whole, else None; computes nothing."""
    config = inputs.config()
    manifest = find_warmup(config.folder)
    if manifest is None:
        return None
    scorer = _scorer(config, manifest, inputs.guide)
    return scorer if has_guide(config.folder, scorer.guide_file) else None


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


def _scoring(spec: SelectByGradient) -> SelectByGradient:
    """The spec with a fixed `keep_frac`, which no score depends on."""
    return spec.model_copy(update={"keep_frac": 1.0})


def _scorer(config: InfluenceConfig, manifest: WarmupManifest, guide: pa.Table) -> GradientScorer:
    parts = [config.model.revision, manifest.digest, config.spec.fingerprint(), config.recipe.fingerprint()]
    return GradientScorer(
        config=config,
        revision=json_digest([SCORE_VERSION, *parts, str(content_hash(guide))]),
        sketch_revision=json_digest([SCORE_VERSION, *parts]),
        learning_rates=manifest.learning_rates,
    )


def _prepare_in_task(inputs: InfluenceInputs) -> GradientScorer | AutoDPError:
    """The scorer, or its error as a value: Ray's wrapping would print what an error quotes."""
    try:
        return prepare_here(inputs)
    except AutoDPError as error:
        return error
    except Exception as error:
        return RunError(f"the warm-up failed: {row_free_message(error, [read_rows(inputs.raw), inputs.guide])}")


def _content(table: pa.Table) -> list[object]:
    """What a row's gradient is a function of."""
    columns = [table[name].to_pylist() for name in ("history", "question", "answer")]
    return list(zip(*columns, strict=True))


def _row_key(content: object, revision: str) -> str:
    return json_digest([revision, content])


@cache
def _memo(path: Path) -> RowMemo:
    return RowMemo(path, max_bytes=MEMO_BYTES)


@lru_cache(maxsize=4)
def _guide_means(location: str, file: str) -> Sketches:
    """[G, C, D]"""
    return read_guide(Storage(location), file)
