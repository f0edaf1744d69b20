"""A driver of its own on a cluster that is there, with a stand-in for the operators' work.

    python -m tests.integration.cache_driver ADDRESS ROOT RUN_ID STRATEGIES SECONDS

Waits for ROOT/go, processes the strategies side by side and prints what it computed itself and what came out.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

import ray

from actors.cache.cache_actor import RemoteStrategyCache
from actors.storage.storage import Storage
from autodp_ray.strategies.processing import Processed, StrategyRun
from autodp_ray.strategies.workers import Worker, run_all
from autodp_ray.strategy import Strategy, parse_strategies
from tests.autodp_ray.run_fakes import FakeRecipe, make_processor, stored

LEASE_S = 3.0


def main(address: str, root_path: str, run_id: str, strategies: str, seconds: str) -> None:
    ray.init(address=address, log_to_driver=False, namespace=f"of-{run_id}")
    root, recipe = Storage.at(root_path), FakeRecipe(seconds=float(seconds))
    source = stored(root.folder(f"in-{run_id}"), ["a", "b"])
    cache = RemoteStrategyCache(root.folder("cache").location, lease_s=LEASE_S)
    processor = make_processor(root, recipe, run_id=run_id, run=run_id, cache=cache)

    def process(strategy: Strategy, worker: Worker) -> Processed:
        return processor.process(source, strategy, StrategyRun(release_worker=worker.released))

    print("ready", flush=True)
    while not (Path(root_path) / "go").exists():
        time.sleep(0.01)
    tasks = [partial(process, strategy) for strategy in parse_strategies(strategies)]
    found = run_all(tasks, num_workers=4)
    for one in found:
        cache.table(one.dataset.folder.location.rpartition("/")[2])
    print(json.dumps({"ran": recipe.ran, "hashes": [one.dataset.content_hash for one in found]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
