"""What `autodp sample` shows: a sample of a dataset, how true it is to the whole, and a picture of both.

Numbers and points only, no row text. The look stands in templates/sample.html.jinja.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, ValidationError

from autodp_ray.cluster.opened_screener import in_process_screener
from autodp_ray.cluster.ray import storage_locations
from autodp_ray.config.run_config import Config
from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.records.dataset_files import find_files
from autodp_ray.records.llama_factory import resolved
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.records.row_groups import row_groups
from autodp_ray.samplers.embedding_matrix import Bool, EmbeddingMatrix, Int64
from autodp_ray.sampling.fidelity import Fidelity, FidelityMeter, mean_fidelity
from autodp_ray.sampling.principal_plane import principal_plane
from autodp_ray.sampling.row_embedding import embed_by_workers, open_embedder
from autodp_ray.sampling.sampler import draw_sample
from operators.contract.errors import InputError
from operators.contract.resources import Embedder, Screener

RANDOM_DRAWS = 20
MAX_POINTS = 4000
"""Points of the whole in the picture; of more rows, an even share is drawn."""

CANVAS = (800, 600)
MARGIN_FRAC = 0.03


class BucketFidelity(BaseModel):
    """Clean or noisy rows, as the screener says, and how true the sampled ones are to them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["clean", "noisy"]
    num_rows: int
    num_sampled: int
    fidelity: Fidelity | None
    """Null where none is sampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedRows:
    """What a sample is drawn from: rows by their place."""

    matrix: EmbeddingMatrix
    ids: Sequence[str]
    groups: Int64
    """Label of each row's group of near-duplicates [N]."""
    noisy: Bool | None = None
    """The screener's verdicts [N]; None without one."""


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
    buckets: tuple[BucketFidelity, ...] = ()
    """Clean and noisy rows apart; empty without a screener."""
    variance_fracs: tuple[float, float]
    """Share of the embeddings' variance along the two principal components."""
    points: tuple[tuple[float, float], ...]
    """Rows of the whole, at most `MAX_POINTS`, on the two components."""
    sampled_points: tuple[tuple[float, float], ...]

    def text(self) -> str:
        """A few lines for a terminal."""
        head = (
            f"{self.num_sampled} of {self.num_rows} rows by {self.sampling.method.name} "
            f"({self.num_sampled / max(1, self.num_rows):.1%}), against {self.num_random_draws} random draws"
        )
        lines = [f"  {name:<34}{ours:>10}{chance:>10}" for name, ours, chance in self.figures()]
        for title, figures in self.bucket_figures():
            lines += [title, *(f"  {name:<34}{value:>10}" for name, value in figures)]
        return "\n".join([head, f"  {'':<34}{'sample':>10}{'random':>10}", *lines])

    def figures(self) -> list[tuple[str, str, str]]:
        """(what, of the sample, of random rows) of every figure."""
        pairs = zip(_figures(self.fidelity), _figures(self.random), strict=True)
        return [(name, ours, chance) for (name, ours), (_, chance) in pairs]

    def bucket_figures(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """A title and (what, of the sampled rows) of every figure, for each bucket."""
        return [
            (
                f"{one.num_sampled} of {one.num_rows} {one.name} rows",
                [] if one.fidelity is None else _figures(one.fidelity),
            )
            for one in self.buckets
        ]

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
            loader=PackageLoader("autodp_ray.reporting"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("sample.html.jinja").render(report=self)


def _figures(fidelity: Fidelity) -> list[tuple[str, str]]:
    """(what, value) of every figure."""
    rows = []
    for mix in fidelity.mixes:
        rows.append((f"total variation, {mix.num_clusters} clusters", f"{mix.total_variation:.3f}"))
        rows.append((f"lost clusters, of {mix.num_clusters} clusters", f"{mix.lost_clusters:.1f}"))
    whole = fidelity.duplicate_rate_of_whole
    rows.append(("MMD", f"{fidelity.mmd:.4f}"))
    rows.append((f"near-duplicates ({whole:.1%} in the whole)", f"{fidelity.duplicate_rate:.1%}"))
    return rows


def models_to_sample(config: Config) -> tuple[Embedder, Screener | None]:
    """The config's embedder and screener, for rows that are there. Needs no Ray.

    Raises: InputError for files or a model that cannot be had.
    """
    find_files(resolved(config.dataset))
    _, cache = storage_locations(config.storage)
    return open_embedder(config.sampling.embedder, cache), in_process_screener(config.screener, cache)


def sample_dataset(
    config: Config,
    method: str | None = None,
    rate: float | None = None,
    *,
    embedder: Embedder | None = None,
    screener: Screener | None = None,
) -> SampleReport:
    """Sample a whole dataset as the config says, with another method or rate where given, and measure the sample.

    The input is taken as it is: no splits, no corruption. Embeddings are kept in the cache. The config's embedder and
    screener are used unless others are given. Wants a Ray.

    Raises: InputError for data or a model that cannot be had.
    """
    sampling = _sampling(config.sampling, method, rate)
    _, cache = storage_locations(config.storage)
    if embedder is None:
        embedder = open_embedder(sampling.embedder, cache)
    if screener is None:
        screener = in_process_screener(config.screener, cache)
    table = pa.concat_tables(list(read_records(config.dataset, on_quarantine=ReasonCounts())))
    rows = EmbeddedRows(
        matrix=embed_by_workers(table, embedder, config=config, cache=cache).matrix,
        ids=table["id"].to_pylist(),
        groups=row_groups(
            table, threshold=config.splits.near_duplicate_threshold, content=config.dataset.content_columns
        ),
        noisy=None if screener is None else screener.needs_work(table),
    )
    return report_sample(rows, sampling=sampling, path=config.dataset.path, embedder_revision=embedder.revision)


def _sampling(config: SamplingConfig, method: str | None, rate: float | None) -> SamplingConfig:
    given = {"method": method, "rate": rate}
    values = config.model_dump() | {name: value for name, value in given.items() if value is not None}
    try:
        return SamplingConfig.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise InputError(f"sampling is asked for with wrong settings: {faults}") from error


def report_sample(rows: EmbeddedRows, *, sampling: SamplingConfig, path: str, embedder_revision: str) -> SampleReport:
    """The report of a sample of rows that are embedded already."""
    matrix, num_rows = rows.matrix, len(rows.ids)
    sample = draw_sample(rows.ids, rows.groups, sampling, embeddings=matrix, strata=rows.noisy)
    if len(sample) == 0:
        raise InputError(f"{path} has no rows to sample")
    meter = FidelityMeter.of(matrix, rows.groups)
    rng = np.random.default_rng(sampling.seed)
    draws = [rng.choice(num_rows, size=len(sample), replace=False) for _ in range(RANDOM_DRAWS)]
    plane = principal_plane(matrix)
    shown = np.unique(np.linspace(0, num_rows - 1, min(num_rows, MAX_POINTS)).astype(np.int64))
    shown_sample = sample[np.unique(np.linspace(0, len(sample) - 1, min(len(sample), MAX_POINTS)).astype(np.int64))]
    return SampleReport(
        path=path,
        sampling=sampling,
        embedder_revision=embedder_revision,
        num_rows=num_rows,
        num_sampled=len(sample),
        fidelity=meter.measure(sample),
        random=mean_fidelity([meter.measure(draw) for draw in draws]),
        num_random_draws=RANDOM_DRAWS,
        buckets=() if rows.noisy is None else _buckets(meter, sample, rows.noisy),
        variance_fracs=plane.variance_fracs,
        points=plane.points(matrix, shown),
        sampled_points=plane.points(matrix, shown_sample),
    )


def _buckets(meter: FidelityMeter, sample: Int64, noisy: Bool) -> tuple[BucketFidelity, ...]:
    found = []
    for name, mask in (("clean", ~noisy), ("noisy", noisy)):
        drawn = sample[mask[sample]]
        found.append(
            BucketFidelity(
                name=name,
                num_rows=int(mask.sum()),
                num_sampled=len(drawn),
                fidelity=meter.measure(drawn, within=np.flatnonzero(mask)) if len(drawn) else None,
            )
        )
    return tuple(found)
