"""Settings of the sample that strategies are searched on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from actors.models.source import DEFAULT_EMBEDDER
from autodp_ray.samplers.registry import AnySampler
from autodp_ray.samplers.stratified import StratifiedSampler
from operators.contract.operator import Seed


class SamplingConfig(BaseModel):
    """How large a sample is searched on. Source: paper, section 3.3.2 (20 %)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: AnySampler = StratifiedSampler()
    """The sampler: its name, or a section with `name`. The default and `herding` keep the mix of the data far better
    than random rows (benchmarks/sampling_fidelity.py), `herding` a little better at 10 clusters, `stratified` at 20.
    `paper` is equation 4, exact; it takes the centre of the data and is here to reproduce the paper."""
    rate: float = Field(default=0.2, gt=0.0, le=1.0)
    """The share of the rows that is drawn."""
    max_rows: int = Field(default=20_000, ge=1)
    """The most rows that are drawn, whatever the rate: every team run and training of a search handles them all."""
    oversampling: float = Field(default=10.0, ge=1.0)
    """A method that needs embeddings chooses among this many times the rows that it draws, or among all if there are
    fewer. They are drawn at random, so that the rows to embed and to screen stay few however large the dataset is.
    benchmarks/sampling_fidelity.py measures what that costs."""
    seed: Seed = 0
    """Random seed for the choice of rows."""
    whole_groups: bool = True
    """Whether all near-duplicates of a row are drawn with it, so that the sample has the same share of copies as the
    whole."""
    embedder: str = DEFAULT_EMBEDDER
    """The model that embeds the rows, for a method that needs one: hub id, local folder, or `pkg:NAME`."""
