"""What `autodp sample` shows: a sample of a dataset, how true it is to the whole, and a picture of both.

Numbers and points only, no row text. The look stands in templates/sample.html.jinja.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, ValidationError

from actors.embedder import SentenceEmbedder
from actors.embedding_pass import embed_dataset
from actors.model_source import cache_folder
from actors.storage import Storage
from actors.stored_dataset import StoredDataset
from autodp_ray.cluster import storage_locations
from autodp_ray.config import Config
from autodp_ray.embedding_matrix import EmbeddingMatrix, Int64
from autodp_ray.principal_plane import principal_plane
from autodp_ray.quarantine import ReasonCounts
from autodp_ray.reader import read_records
from autodp_ray.row_groups import row_groups
from autodp_ray.sampling import Method, SamplingConfig, draw_sample
from autodp_ray.sampling_fidelity import Fidelity, FidelityMeter, mean_fidelity
from operators.base import Embedder
from operators.errors import InputError

RANDOM_DRAWS = 20
MAX_POINTS = 4000
"""Points of the whole in the picture; of more rows, an even share is drawn."""

CANVAS = (800, 600)
MARGIN_FRAC = 0.03

log = logging.getLogger(__name__)


class SampleReport(BaseModel):
    """A sample, its fidelity and that of random rows, and where the rows lie in two dimensions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    sampling: SamplingConfig
    embedder_revision: str
    num_rows: int
    num_sampled: int
    fidelity: Fidelity
    random: Fidelity
    """Means over as many random draws of the same number of single rows as `num_random_draws` says."""
    num_random_draws: int
    variance_fracs: tuple[float, float]
    """Share of the embeddings' variance along the two principal components."""
    points: tuple[tuple[float, float], ...]
    """Rows of the whole, at most `MAX_POINTS`, on the two components."""
    sampled_points: tuple[tuple[float, float], ...]

    def text(self) -> str:
        """A few lines for a terminal."""
        head = (
            f"{self.num_sampled} of {self.num_rows} rows by {self.sampling.method} "
            f"({self.num_sampled / max(1, self.num_rows):.1%}), against {self.num_random_draws} random draws"
        )
        lines = [f"  {name:<34}{ours:>10}{chance:>10}" for name, ours, chance in self.figures()]
        return "\n".join([head, f"  {'':<34}{'sample':>10}{'random':>10}", *lines])

    def figures(self) -> list[tuple[str, str, str]]:
        """(what, of the sample, of random rows) of every figure."""
        rows = []
        for mix, chance in zip(self.fidelity.mixes, self.random.mixes, strict=True):
            name = f"{mix.num_clusters} clusters"
            rows.append((f"total variation, {name}", f"{mix.total_variation:.3f}", f"{chance.total_variation:.3f}"))
            rows.append((f"lost clusters, of {name}", f"{mix.lost_clusters:.1f}", f"{chance.lost_clusters:.1f}"))
        rows.append(("MMD", f"{self.fidelity.mmd:.4f}", f"{self.random.mmd:.4f}"))
        rate, chance_rate = self.fidelity.duplicate_rate, self.random.duplicate_rate
        whole = self.fidelity.duplicate_rate_of_whole
        rows.append((f"near-duplicates ({whole:.1%} in the whole)", f"{rate:.1%}", f"{chance_rate:.1%}"))
        return rows

    def placed_points(self) -> list[tuple[float, float]]:
        """The points of the whole on the canvas of the picture."""
        return self._placed(self.points)

    def placed_sample(self) -> list[tuple[float, float]]:
        """The sampled points on the same canvas."""
        return self._placed(self.sampled_points)

    def _placed(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        every = np.array([*self.points, *self.sampled_points])
        low, high = every.min(axis=0), every.max(axis=0)
        margin, size = MARGIN_FRAC, np.array(CANVAS)
        spread = np.where(high > low, high - low, 1.0)
        fracs = margin + (1 - 2 * margin) * (np.array(points) - low) / spread
        places = np.column_stack([fracs[:, 0], 1 - fracs[:, 1]]) * size
        return [(round(float(x), 1), round(float(y), 1)) for x, y in places]

    def html(self) -> str:
        """The picture and the figures as one page without scripts and without anything to load."""
        environment = Environment(
            loader=PackageLoader("autodp_ray"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("sample.html.jinja").render(report=self)


def sample_dataset(
    config: Config,
    method: Method | None = None,
    rate: float | None = None,
    *,
    embedder: Embedder | None = None,
) -> SampleReport:
    """Sample a whole dataset as the config says, with another method or rate where given, and measure the sample.

    The input is taken as it is: no splits, no corruption. Embeddings are kept in the cache. Wants a Ray.

    Raises: InputError for data or a model that cannot be had.
    """
    sampling = _sampling(config.sampling, method, rate)
    _, cache = storage_locations(config.storage)
    if embedder is None:
        local = Path(cache.location) if cache.is_local else cache_folder()
        embedder = SentenceEmbedder.of(sampling.embedder, memo=local / "embeddings.sqlite")
    table = pa.concat_tables(list(read_records(config.dataset, on_quarantine=ReasonCounts())))
    matrix = _embedded(table, embedder, config, cache)
    groups = row_groups(table, threshold=config.splits.near_duplicate_threshold)
    return report_sample(
        matrix,
        table["id"].to_pylist(),
        groups,
        sampling=sampling,
        path=config.dataset.path,
        embedder_revision=embedder.revision,
    )


def _sampling(config: SamplingConfig, method: Method | None, rate: float | None) -> SamplingConfig:
    given = {"method": method, "rate": rate}
    values = config.model_dump() | {name: value for name, value in given.items() if value is not None}
    try:
        return SamplingConfig.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InputError(f"sampling is asked for with wrong settings: {faults}") from error


def report_sample(
    matrix: EmbeddingMatrix,
    ids: Sequence[str],
    groups: Int64,
    *,
    sampling: SamplingConfig,
    path: str,
    embedder_revision: str,
) -> SampleReport:
    """The report of a sample of rows that are embedded already."""
    sample = draw_sample(ids, groups, sampling, embeddings=matrix)
    if len(sample) == 0:
        raise InputError(f"{path} has no rows to sample")
    meter = FidelityMeter.of(matrix, groups)
    rng = np.random.default_rng(sampling.seed)
    draws = [rng.choice(len(ids), size=len(sample), replace=False) for _ in range(RANDOM_DRAWS)]
    plane = principal_plane(matrix)
    shown = np.unique(np.linspace(0, len(ids) - 1, min(len(ids), MAX_POINTS)).astype(np.int64))
    shown_sample = sample[np.unique(np.linspace(0, len(sample) - 1, min(len(sample), MAX_POINTS)).astype(np.int64))]
    return SampleReport(
        path=path,
        sampling=sampling,
        embedder_revision=embedder_revision,
        num_rows=len(ids),
        num_sampled=len(sample),
        fidelity=meter.measure(sample),
        random=mean_fidelity([meter.measure(draw) for draw in draws]),
        num_random_draws=RANDOM_DRAWS,
        variance_fracs=plane.variance_fracs,
        points=plane.points(matrix, shown),
        sampled_points=plane.points(matrix, shown_sample),
    )


def _embedded(table: pa.Table, embedder: Embedder, config: Config, cache: Storage) -> EmbeddingMatrix:
    """The embeddings of the rows of a table, in its order; made by a pass of workers, or found in the cache."""
    dataset_name = hashlib.sha256("\n".join([embedder.revision, *table["id"].to_pylist()]).encode()).hexdigest()
    folder = cache.folder(f"embeddings/{dataset_name[:32]}")
    step = config.pool.part_rows
    source = StoredDataset.write(
        folder.folder("rows"), (table.slice(start, step) for start in range(0, table.num_rows, step))
    )
    out = folder.folder(source.content_hash)
    try:
        matrix = EmbeddingMatrix.stored(embed_dataset(source, embedder, out=out, pool=config.pool))
    finally:
        source.folder.delete()
    log.info("embeddings of %d rows in %s", matrix.num_rows, out.location)
    return matrix
