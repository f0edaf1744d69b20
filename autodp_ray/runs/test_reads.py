"""How many claims were tried on the same test rows: each further one makes a lucky one likelier.

Every claim leaves an empty file in the cache, which runs share; the same claim again is the same file.
"""

from __future__ import annotations

from dataclasses import astuple

from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.config.run_config import Config
from autodp_ray.strategy import Strategy
from operators.contract.digest import json_digest

FOLDER = "test_reads"


def claim_of(config: Config, *, sample: StoredDataset, strategy: Strategy) -> object:
    """What makes two claims one: the rows and the strategy, the model and its trainings, and who scores them."""
    evaluation = config.evaluation
    return [
        [sample.content_hash, str(strategy)],
        [config.models.tuned.model, config.training.fingerprint(), evaluation.seed, *astuple(evaluation.confirmation)],
        [evaluation.evaluator.name, *(config.models.reader(role).model for role in evaluation.evaluator.roles)],
    ]


def note_test_read(cache: Storage, test: StoredDataset, *, claim: object) -> int:
    """Note that a claim is tried on these test rows; how many different ones were, this one among them."""
    folder = cache.folder(f"{FOLDER}/{test.content_hash}")
    folder.write_text(json_digest(claim), "")
    return len(folder.names())
