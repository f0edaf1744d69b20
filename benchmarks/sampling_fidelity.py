"""How true a 20 % sample is to real conversations, English and Chinese: every sampling method beside random rows.

Total variation and lost clusters are means over five clusterings that no sampler saw; random rows are the mean of
twenty draws as large as the default method's sample. Of large datasets a method sees only `sampling.oversampling` times
the rows that it draws: a 5 % sample out of these stands beside one out of all rows, as the mean of eight seeds. A
cluster whose share of the sample is under one row may be lost by luck: such ones are shown, and no gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from actors.data.embedded_text import row_texts
from actors.models.embedder import SentenceEmbedder
from actors.models.source import DEFAULT_EMBEDDER
from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.records.row_groups import row_groups
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.samplers.registry import SAMPLERS
from autodp_ray.sampling.fidelity import Fidelity, FidelityMeter, mean_fidelity
from autodp_ray.sampling.sampler import draw_candidates, draw_sample, of_candidates

CORPORA = {"english": "pkg:chatterbot_corpus/english", "chinese": "pkg:chatterbot_corpus/chinese"}
RANDOM_DRAWS = 20
OVERSAMPLED_RATE = 0.05
SEEDS = range(8)
MAX_VARIATION_RATIO = 0.8
"""Largest total variation of the default method, as a multiple of that of random rows."""
MAX_DUPLICATE_ERROR = 0.2
"""How far the sample's rate of near-duplicates may be from the whole's, as a share of it."""

GateFigures = dict[str, float | str | bool]


def run(rows: int | None = None, smoke: bool = False) -> dict[str, Any]:
    """Figures of every method on every corpus (or on its first `rows`), and gates for the default method."""
    smoke_rows = 300 if smoke else None
    measured = {name: measure(path, limit=rows or smoke_rows) for name, path in CORPORA.items()}
    return {"figures": measured, "gates": [gate for name, one in measured.items() for gate in _gates(name, one)]}


def measure(path: str, *, limit: int | None = None) -> dict[str, Any]:
    """Every method's fidelity on one dataset."""
    batches = read_records(DatasetConfig(path=path, limit=limit), on_quarantine=ReasonCounts())
    table = pa.concat_tables(list(batches))
    matrix = EmbeddingMatrix.of_array(SentenceEmbedder.of(DEFAULT_EMBEDDER).embed_matrix(row_texts(table)))
    groups = row_groups(table)
    meter = FidelityMeter.of(matrix, groups)
    samples: dict[str, Int64] = {
        name: draw_sample(table["id"].to_pylist(), groups, SamplingConfig(method=sampler(name=name)), embeddings=matrix)
        for name, sampler in SAMPLERS.items()
    }
    default = SamplingConfig().method.name
    rng = np.random.default_rng(0)
    size = len(samples[default])
    draws = [rng.choice(table.num_rows, size=size, replace=False) for _ in range(RANDOM_DRAWS)]
    chance = _figures(mean_fidelity([meter.measure(draw) for draw in draws]), size)
    methods = {method: _figures(meter.measure(sample), len(sample)) for method, sample in samples.items()}
    return {
        "rows": table.num_rows,
        "duplicate_rate": meter.measure(samples[default]).duplicate_rate_of_whole,
        "random_rows": chance,
        "methods": methods,
        "default": methods[default] | _against(methods[default], chance),
        "oversampled": _oversampled(table["id"].to_pylist(), groups, matrix, meter),
    }


def _oversampled(
    ids: Sequence[str], groups: np.ndarray, matrix: EmbeddingMatrix, meter: FidelityMeter
) -> dict[str, dict[str, float]]:
    """The default method out of candidates and out of all rows, and random rows, by seed."""
    draws: dict[str, list[Int64]] = {"candidates": [], "all_rows": [], "random_rows": []}
    for seed in SEEDS:
        config = SamplingConfig(rate=OVERSAMPLED_RATE, seed=seed)
        whole = draw_sample(ids, groups, config, embeddings=matrix)
        candidates = draw_candidates(ids, groups, config)
        draws["all_rows"].append(whole)
        draws["candidates"].append(whole if candidates is None else _out_of(candidates, ids, groups, matrix, config))
        draws["random_rows"].append(np.random.default_rng(seed).choice(len(ids), size=len(whole), replace=False))
    figures = {
        name: _figures(mean_fidelity([meter.measure(one) for one in drawn]), len(drawn[0]))
        for name, drawn in draws.items()
    }
    return figures | {"ratios": _against(figures["candidates"], figures["random_rows"])}


def _out_of(
    candidates: Int64, ids: Sequence[str], groups: np.ndarray, matrix: EmbeddingMatrix, config: SamplingConfig
) -> Int64:
    vectors = EmbeddingMatrix.of_array(matrix.take(candidates).astype(np.float32))
    among = of_candidates(config, len(candidates), len(ids))
    drawn: Int64 = candidates[
        draw_sample([ids[row] for row in candidates], groups[candidates], among, embeddings=vectors)
    ]
    return drawn


def _figures(fidelity: Fidelity, num_rows: int) -> dict[str, float]:
    found: dict[str, float] = {"rows": num_rows, "mmd": fidelity.mmd, "duplicate_rate": fidelity.duplicate_rate}
    for mix in fidelity.mixes:
        found[f"total_variation_{mix.num_clusters}"] = mix.total_variation
        found[f"lost_clusters_{mix.num_clusters}"] = mix.lost_clusters
        found[f"lost_due_clusters_{mix.num_clusters}"] = mix.lost_due_clusters
    found["duplicate_error"] = _duplicate_error(fidelity, num_rows)
    return found


def _duplicate_error(fidelity: Fidelity, num_rows: int) -> float:
    """How far the sample's rate is from the whole's, as a share of it; 0 where that is no more than one row."""
    whole = fidelity.duplicate_rate_of_whole
    gap = abs(fidelity.duplicate_rate - whole)
    return 0.0 if gap * num_rows <= 1 else gap / max(whole, 1 / num_rows)


def _against(ours: Mapping[str, float], chance: Mapping[str, float]) -> dict[str, float]:
    names = [name for name in ours if name.startswith("total_variation")]
    return {f"{name}_ratio": ours[name] / chance[name] for name in names}


def _gates(corpus: str, measured: Mapping[str, Any]) -> list[GateFigures]:
    ours: Mapping[str, float] = measured["default"]
    bars = {"duplicate_error": MAX_DUPLICATE_ERROR}
    bars |= {name: MAX_VARIATION_RATIO for name in ours if name.endswith("_ratio")}
    bars |= {name: 0.0 for name in ours if name.startswith("lost_due_clusters")}
    drawn = {f"{name}, out of candidates": ratio for name, ratio in measured["oversampled"]["ratios"].items()}
    ours = {**ours, **drawn}
    bars |= dict.fromkeys(drawn, MAX_VARIATION_RATIO)
    return [
        {"name": f"{name}, {corpus}", "value": ours[name], "bar": bar, "ok": ours[name] <= bar}
        for name, bar in bars.items()
    ]
