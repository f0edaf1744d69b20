"""What `cleaning` gains over no processing at several rates of planted damage.

The quickstart's conversations, damage, sampling, recipe and loss, over several seeds, without agent and Ray: what a
search can expect to find at its own sample size, and at twice that.
"""

from __future__ import annotations

import math
import tempfile

import pyarrow as pa
import torch

from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
from actors.storage.storage import Storage
from actors.training.job import TrainJob
from actors.training.trainer import FineTuner
from autodp_ray.config.run_config import Config, load_config
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import Prepared, prepare
from autodp_ray.progress import Silent
from autodp_ray.sampling.search_sample import RowModels
from benchmarks.in_process import apply_here
from benchmarks.protocol import Figures
from benchmarks.repeated import spread
from operators.contract.resources import Resources

CONFIG = "configs/quickstart.yaml"
RATES = (0.2, 0.4, 0.6)
SIZES = {"sample": (), "double_sample": ("sampling.rate=0.4",)}
"""The quickstart's own sample, and one of twice the rows for the same number of steps."""
NUM_SEEDS, SMOKE_SEEDS, SMOKE_STEPS = 5, 1, 2


def run(rows: int | None = None, smoke: bool = False) -> Figures:
    """Gains in nats per answer token on the test split, by sample size and rate; a run is a seed."""
    size = () if rows is None else (f"dataset.limit={rows}",)
    if smoke:
        size = (*size, f"training.steps={SMOKE_STEPS}")
    num_seeds = SMOKE_SEEDS if smoke else NUM_SEEDS
    tuner = FineTuner()
    with tempfile.TemporaryDirectory(prefix="autodp-damage-") as memory:  # of embeddings: seeds share most rows
        gains = {
            name: {
                f"rate_{round(100 * rate)}": spread(
                    [gain(tuner, _config(rate, seed, (*size, *own)), Storage.at(memory)) for seed in range(num_seeds)]
                )
                for rate in RATES
            }
            for name, own in SIZES.items()
        }
    return {"gain": gains}


def _config(rate: float, seed: int, settings: tuple[str, ...]) -> Config:
    return load_config(CONFIG, [f"dataset.corruption.rate={rate}", f"seed={seed}", *settings])


def gain(tuner: FineTuner, config: Config, memory: Storage) -> float:
    """How much lower the test loss is after training on the cleaned sample, in nats per token."""
    torch.set_num_threads(config.training.num_threads or math.ceil(config.training.num_cpus_per_worker))
    with tempfile.TemporaryDirectory(prefix="autodp-damage-") as folder:
        storage = Storage.at(folder)
        prepared = prepare(
            config, run=storage, journal=Journal(storage), progress=Silent(), models=RowModels.of(config, memory)
        )
        raw = prepared.sample.read()
        return _loss(tuner, config, prepared, raw) - _loss(tuner, config, prepared, cleaned(raw, config))


def cleaned(table: pa.Table, config: Config) -> pa.Table:
    """The rows after the cleaning team."""
    resources = Resources(tokenizer=ModelTokenizer(model=resolve_model(config.models.tuned.model)))
    return apply_here(config.teams.recipe("cleaning"), table, resources)


def _loss(tuner: FineTuner, config: Config, prepared: Prepared, train: pa.Table) -> float:
    job = TrainJob(
        model=resolve_model(config.models.tuned.model),
        recipe=config.training,
        seed=config.evaluation.seed,
        train=train,
        evaluation={"test": prepared.test.rows_for_workers()},
    )
    return tuner.run(job).evaluation["test"].mean_nll()
