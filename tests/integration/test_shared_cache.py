"""The strategy cache on real Ray: drivers that come together, die, or follow each other; an actor that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
import ray

from actors.cache.cache import PROTOCOL, Ready, StrategyCache
from actors.cache.cache_actor import RemoteStrategyCache, actor_name, open_strategy_cache
from actors.cache.store import StrategyStore
from actors.cluster.nodes import NAMESPACE
from actors.storage.storage import Storage
from autodp_ray.strategy import Strategy
from operators.contract.errors import RunError
from tests.autodp_ray.run_fakes import FakeRecipe, dataset_keys, make_processor, stored

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

WANTED = "cleaning>optimization>generation,cleaning>generation,cleaning>optimization,optimization"
NODES = ["generate_question"] * 2 + ["optimize_pair"] * 2 + ["strip_markup"]

Driver = subprocess.Popen[str]


def start_driver(root: Storage, run_id: str, *, strategies: str = WANTED, seconds: float = 0.3) -> Driver:
    """A driver in a process of its own, ready and waiting for the file `go`."""
    address = ray.get_runtime_context().gcs_address
    arguments = [address, root.location, run_id, strategies, str(seconds)]
    command = [sys.executable, "-m", "tests.integration.cache_driver", *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    while (line := process.stdout.readline()) != "ready\n":
        assert line, "the driver ended before it was ready"
    return process


def finish(process: Driver) -> dict[str, list[str]]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    body: dict[str, list[str]] = json.loads(out.splitlines()[-1])
    return body


def go(root: Storage) -> None:
    root.write_text("go", "")


@pytest.fixture
def root(tmp_path: Path) -> Storage:
    return Storage.at(tmp_path)


def actor_of(root: Storage) -> ray.actor.ActorHandle[StrategyCache]:
    handle: ray.actor.ActorHandle[StrategyCache] = ray.get_actor(
        actor_name(root.folder("cache").location), namespace=NAMESPACE
    )
    return handle


def test_two_drivers_at_the_same_moment_compute_each_prefix_once(root: Storage) -> None:
    drivers = [start_driver(root, name) for name in ("one", "two")]
    go(root)
    first, second = (finish(driver) for driver in drivers)
    assert sorted(first["ran"] + second["ran"]) == NODES
    assert first["hashes"] == second["hashes"]


def test_the_next_job_goes_on_where_the_one_that_filled_the_cache_ended(root: Storage) -> None:
    driver = start_driver(root, "one")
    go(root)
    done = finish(driver)
    recipe = FakeRecipe()
    cache = RemoteStrategyCache(root.folder("cache").location)
    before = cache.statistics()
    processor = make_processor(root, recipe, run="next", run_id="next", cache=cache)
    found = processor.process(stored(root.folder("in"), ["a", "b"]), Strategy.parse(WANTED.split(",")[0])).dataset
    assert recipe.ran == []
    assert found.content_hash == done["hashes"][0]
    table = cache.table(found.folder.location.rpartition("/")[2])
    assert table == found.read()
    after = cache.statistics()
    assert (after["object_hits"], after["disk_reads"]) == (before.get("object_hits", 0) + 1, before["disk_reads"])


@pytest.mark.parametrize("for_good", [False, True])
def test_a_cache_whose_actor_is_killed_in_the_middle_loses_nothing_and_lets_nobody_compute_twice(
    root: Storage, for_good: bool
) -> None:
    recipe = FakeRecipe(seconds=1.5)
    source = stored(root.folder("in"), ["a", "b"])
    location = root.folder("cache").location
    caches = [RemoteStrategyCache(location, lease_s=3) for _ in range(2)]
    processors = [
        make_processor(root, recipe, run=name, run_id=name, cache=cache)
        for name, cache in zip(("one", "two"), caches, strict=True)
    ]
    cache = caches[0]
    killer = threading.Timer(2.0, lambda: ray.kill(actor_of(root), no_restart=for_good))
    killer.start()
    strategy = Strategy.parse("cleaning>optimization>generation")
    with ThreadPoolExecutor(2) as drivers:
        found, other = (one.dataset for one in drivers.map(lambda each: each.process(source, strategy), processors))
    killer.join()
    assert recipe.ran == ["strip_markup", "optimize_pair", "generate_question"]
    assert found.content_hash == other.content_hash
    assert found.read()["answer"].to_pylist() == [f"{text} {' '.join(recipe.ran)}" for text in ("a", "b")]
    again = FakeRecipe()
    make_processor(root, again, run="again", run_id="again", cache=cache).process(
        source, Strategy.parse("cleaning>optimization>generation")
    )
    assert again.ran == []
    assert cache.statistics()["num_leases"] == 0


def test_the_claim_of_a_driver_that_dies_ends_and_its_half_is_never_served(root: Storage) -> None:
    driver = start_driver(root, "dies", strategies="cleaning", seconds=600)
    go(root)
    source = stored(root.folder("in"), ["a", "b"])
    (key,) = dataset_keys(root.folder("elsewhere"), source, "cleaning")
    cache = RemoteStrategyCache(root.folder("cache").location)
    deadline = time.monotonic() + 60
    while cache.statistics()["num_leases"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert cache.lease(f"datasets/{key}", "heir")["state"] == "held"
    time.sleep(4)
    assert cache.lease(f"datasets/{key}", "heir")["state"] == "held", "a living holder keeps its lease"
    stored(StrategyStore(root.folder("cache")).workspace(), ["half"])
    driver.kill()
    driver.wait(60)
    recipe = FakeRecipe()
    found = make_processor(root, recipe, run="heir", run_id="heir", cache=cache).process(
        source, Strategy.parse("cleaning")
    )
    assert recipe.ran == ["strip_markup"]
    assert found.dataset.read()["answer"].to_pylist() == ["a strip_markup", "b strip_markup"]


def test_a_flipped_byte_is_found_and_the_entry_computed_again(root: Storage) -> None:
    source = stored(root.folder("in"), ["a", "b"])
    with open_strategy_cache(root.folder("cache"), holder="one"):
        cache = RemoteStrategyCache(root.folder("cache").location)
        made = make_processor(root, FakeRecipe(), cache=cache).process(source, Strategy.parse("cleaning")).dataset
        part = Path(made.folder.path(made.manifest.parts[0].file))
        data = part.read_bytes()
        part.write_bytes(data[:200] + bytes([data[200] ^ 1]) + data[201:])
        recipe = FakeRecipe()
        again = make_processor(root, recipe, run="two", run_id="two", cache=cache).process(
            source, Strategy.parse("cleaning")
        )
    assert recipe.ran == ["strip_markup"]
    assert part.read_bytes() == data
    assert again.dataset.content_hash == made.content_hash


def test_live_rows_are_read_without_a_copy_and_gone_after_a_release(root: Storage) -> None:
    big = pa.table({"id": [str(number) for number in range(400_000)], "answer": ["some words " * 4] * 400_000})
    cache = RemoteStrategyCache(root.folder("cache").location)
    recipe = FakeRecipe(change=lambda table, name: big)
    found = make_processor(root, recipe, cache=cache).process(
        stored(root.folder("in"), ["a"]), Strategy.parse("cleaning")
    )
    key = found.dataset.folder.location.rpartition("/")[2]
    cache.table(key)
    before = pa.total_allocated_bytes()
    table = cache.table(key)
    assert table.equals(big)
    assert table.nbytes > 20e6
    assert pa.total_allocated_bytes() - before < 1e6
    cache.release()
    statistics = cache.statistics()
    assert (statistics["num_objects"], statistics["object_bytes"], statistics["disk_reads"]) == (0, 0, 1)


class OtherProtocol(StrategyCache):
    """An actor of some other version of the code under our name."""

    def ready(self) -> Ready:
        return Ready(protocol=PROTOCOL + 1, location="", lease_s=1.0)


def test_an_actor_of_another_protocol_is_noticed(root: Storage) -> None:
    location = root.folder("cache").location
    actor = ray.remote(num_cpus=0)(OtherProtocol).options(name=actor_name(location), namespace=NAMESPACE)
    other = actor.remote(location)
    with pytest.raises(RunError, match=f"speaks protocol {PROTOCOL + 1}, not {PROTOCOL}"):
        RemoteStrategyCache(location)
    assert isinstance(other, ray.actor.ActorHandle)
    ray.kill(other)


def test_a_fault_of_the_disk_comes_back_as_a_failed_run(root: Storage) -> None:
    root.write_text("cache", "a file where the folder should be")
    cache = RemoteStrategyCache(root.folder("cache").location)
    with pytest.raises(RunError, match="the strategy cache failed"):
        cache.commit_score("s", "{}", holder="one")


def test_an_actor_takes_no_cpu_and_stays_when_its_drivers_are_gone(root: Storage) -> None:
    free = ray.available_resources().get("CPU")
    cache = RemoteStrategyCache(root.folder("cache").location)
    cache.statistics()
    assert ray.available_resources().get("CPU") == free
    del cache
    answers: list[Ready] = ray.get([actor_of(root).ready.remote()])
    assert [ready["protocol"] for ready in answers] == [PROTOCOL]
    assert Counter(name.startswith(f"autodp-cache-v{PROTOCOL}-") for name in [actor_name("x")]) == {True: 1}
