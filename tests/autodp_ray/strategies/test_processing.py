"""Processing: prefixes are computed once, cached, counted, and a fault leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.cache.cache import StrategyCache
from actors.cache.store import StrategyStore
from actors.cache.upkeep import entries, origins
from actors.storage.storage import Storage
from autodp_ray.journal import Journal
from autodp_ray.strategies.processing import StrategyRun
from autodp_ray.strategies.spending import count_spending
from autodp_ray.strategies.workers import run_all
from autodp_ray.strategy import NONE, Strategy, parse_strategies, strategy_space
from operators.contract.errors import EndpointError
from operators.contract.resources import Resources
from tests.autodp_ray.run_fakes import FakeRecipe, FixedCompleter, dataset_keys, make_processor, stored

CLEAN, REWRITE, FILL = "strip_markup", "optimize_pair", "generate_question"


def strategy(text: str) -> Strategy:
    return Strategy.parse(text)


def test_teams_work_one_after_another_on_each_others_output(tmp_path: Path) -> None:
    root = Storage.at(tmp_path)
    recipe = FakeRecipe(counts={"dropped:short": 2})
    found = make_processor(root, recipe).process(stored(root.folder("in"), ["a"]), strategy("optimization>cleaning"))
    assert recipe.ran == [REWRITE, CLEAN]
    assert found.dataset.read()["answer"].to_pylist() == [f"a {REWRITE} {CLEAN}"]
    assert found.counts == {"dropped:short": 4}


def test_no_processing_is_the_source_itself(tmp_path: Path) -> None:
    root = Storage.at(tmp_path)
    source = stored(root.folder("in"), ["a"])
    found = make_processor(root, FakeRecipe()).process(source, NONE)
    assert found.dataset == source
    assert found.counts == {}


def test_a_shared_prefix_is_computed_once(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    processor, source = make_processor(root, recipe), stored(root.folder("in"), ["a"])
    runs = [StrategyRun() for _ in range(3)]
    for text, run in zip(("cleaning>optimization", "cleaning>generation", "cleaning"), runs, strict=True):
        processor.process(source, strategy(text), run)
    assert recipe.ran == [CLEAN, REWRITE, FILL]
    assert [run.num_done for run in runs] == [2, 2, 1]
    assert count_spending(Journal(root.folder("run"))).team_runs_executed == 3


def test_the_whole_space_of_three_teams_takes_fifteen_team_runs(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    processor, source = make_processor(root, recipe), stored(root.folder("in"), ["a"])
    space = strategy_space(tuple(strategy("cleaning>optimization>generation").teams))
    runs = [StrategyRun() for _ in space]
    for one, run in zip(space, runs, strict=True):
        processor.process(source, one, run)
    assert (len(space), sum(run.num_done for run in runs), len(recipe.ran)) == (16, 33, 15)


def test_another_run_finds_everything_and_executes_nothing(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    source = stored(root.folder("in"), ["a"])
    first = make_processor(root, recipe, run="one", run_id="one").process(source, strategy("cleaning>optimization"))
    other = make_processor(root, recipe, run="two", run_id="two").process(source, strategy("cleaning>optimization"))
    assert recipe.ran == [CLEAN, REWRITE]
    assert other.dataset.content_hash == first.dataset.content_hash
    assert count_spending(Journal(root.folder("one"))).team_runs_executed == 2
    assert count_spending(Journal(root.folder("two"))).team_runs_executed == 0


def test_equal_rows_in_another_place_are_the_same_input(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    processor = make_processor(root, recipe)
    for folder in ("here", "there"):
        processor.process(stored(root.folder(folder), ["a", "b"]), strategy("cleaning"))
    processor.process(stored(root.folder("changed"), ["a", "c"]), strategy("cleaning"))
    assert len(recipe.ran) == 2


@pytest.mark.parametrize("error", [EndpointError("refused"), KeyboardInterrupt()])
def test_a_fault_leaves_no_entry_and_no_event_and_is_tried_again(tmp_path: Path, error: Exception) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    processor, source = make_processor(root, recipe), stored(root.folder("in"), ["a"])
    recipe.failing[REWRITE] = error
    run = StrategyRun()
    with pytest.raises(type(error)):
        processor.process(source, strategy("cleaning>optimization>generation"), run)
    assert len(root.names("cache/datasets")) == 1
    assert Journal(root.folder("run")).count("team_run") == 1
    assert run.num_done == 1
    recipe.failing.clear()
    processor.new_round()
    processor.process(source, strategy("cleaning>optimization"))
    assert root.names("cache/work") == []
    assert recipe.ran == [CLEAN, REWRITE, REWRITE]


def test_a_run_that_was_killed_between_cache_and_journal_counts_its_work_once(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    source = stored(root.folder("in"), ["a"])
    make_processor(root, recipe, run="lost").process(source, strategy("cleaning"))
    make_processor(root, recipe, run="resumed").process(source, strategy("cleaning"))
    make_processor(root, recipe, run="resumed").process(source, strategy("cleaning"))
    assert recipe.ran == [CLEAN]
    assert count_spending(Journal(root.folder("resumed"))).team_runs_executed == 1


def test_a_damaged_entry_is_computed_again(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    processor, source = make_processor(root, recipe), stored(root.folder("in"), ["a"])
    made = processor.process(source, strategy("cleaning"))
    made.dataset.folder.write_bytes("part-000000.arrow", b"not arrow")
    again = processor.process(source, strategy("cleaning"))
    assert recipe.ran == [CLEAN, CLEAN]
    assert again.dataset.read() == make_processor(root, recipe).process(source, strategy("cleaning")).dataset.read()


def test_what_a_model_without_a_revision_made_is_found_by_its_own_run_alone(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    source = stored(root.folder("in"), ["a"])
    unknown = Resources(completer=FixedCompleter(""))
    for run in ("one", "one", "two"):
        make_processor(root, recipe, run=run, run_id=run, resources=unknown).process(source, strategy("optimization"))
    assert recipe.ran == [REWRITE, REWRITE]


def test_an_event_holds_counts_and_no_text(tmp_path: Path) -> None:
    root = Storage.at(tmp_path)
    processor = make_processor(root, FakeRecipe(counts={"rejected:empty": 1}))
    processor.process(stored(root.folder("in"), ["canary-4711"]), strategy("cleaning"))
    (event,) = Journal(root.folder("run"))
    assert event.payload["strategy"] == "cleaning"
    assert event.payload["counts"] == {"rejected:empty": 1}
    assert "canary" not in str(event)


def test_entries_say_which_strategy_they_are(tmp_path: Path) -> None:
    root = Storage.at(tmp_path)
    make_processor(root, FakeRecipe()).process(stored(root.folder("in"), ["a"]), strategy("cleaning>optimization"))
    found = {origin.strategy for origin in origins(StrategyStore(root.folder("cache")))}
    assert found == {"cleaning", "cleaning>optimization"}


def test_a_prefix_is_started_from_though_shorter_ones_were_pruned_and_their_counts_are_kept(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe(counts={"dropped:short": 2})
    source, store = stored(root.folder("in"), ["a"]), StrategyStore(root.folder("cache"))
    make_processor(root, recipe, run="one").process(source, strategy("cleaning>optimization"))
    (pruned,) = [entry.key for entry in entries(store) if entry.strategy == "cleaning"]
    store.storage.delete(f"datasets/{pruned}")
    found = make_processor(root, recipe, run="two").process(source, strategy("cleaning>optimization>generation"))
    assert recipe.ran == [CLEAN, REWRITE, FILL]
    assert found.counts == {"dropped:short": 6}


def test_a_team_run_that_failed_fails_at_once_for_all_of_its_round_and_is_tried_again_in_the_next(
    tmp_path: Path,
) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    processor, source = make_processor(root, recipe), stored(root.folder("in"), ["a"])
    recipe.failing[CLEAN] = EndpointError("refused 5 times")
    for text in ("cleaning", "cleaning>optimization"):
        with pytest.raises(EndpointError, match="refused 5 times"):
            processor.process(source, strategy(text))
    assert recipe.ran == [CLEAN]
    recipe.failing.clear()
    processor.new_round()
    processor.process(source, strategy("cleaning>optimization"))
    assert recipe.ran == [CLEAN, CLEAN, REWRITE]


def test_drivers_at_the_same_moment_compute_each_prefix_once(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe(seconds=0.05)
    source, shared = stored(root.folder("in"), ["a"]), StrategyCache(root.folder("cache").location)
    processors = [make_processor(root, recipe, run=name, run_id=name, cache=shared) for name in ("one", "two")]
    wanted = parse_strategies("cleaning>optimization>generation,cleaning>generation,cleaning>optimization")
    tasks = [
        lambda worker, p=p, s=s: p.process(source, s, StrategyRun(release_worker=worker.released))
        for s in wanted
        for p in processors
    ]
    found = run_all(tasks, num_workers=6)
    assert sorted(recipe.ran) == sorted([CLEAN, REWRITE, FILL, FILL])
    assert all(one.dataset == other.dataset for one, other in zip(found[::2], found[1::2], strict=True))
    executed = [count_spending(Journal(root.folder(name))).team_runs_executed for name in ("one", "two")]
    assert sum(executed) == 4


def test_what_a_driver_left_half_done_when_it_died_is_never_served_and_its_claim_ends(tmp_path: Path) -> None:
    root, recipe, now = Storage.at(tmp_path), FakeRecipe(), [0.0]
    source = stored(root.folder("in"), ["a"])
    shared = StrategyCache(root.folder("cache").location, lease_s=10, clock=lambda: now[0])
    (key,) = dataset_keys(root.folder("elsewhere"), source, "cleaning")
    assert shared.lease(f"datasets/{key}", "dead")["state"] == "granted"
    stored(StrategyStore(root.folder("cache")).workspace(), ["half"])
    waits: list[float] = []

    @contextmanager
    def release_worker() -> Iterator[None]:
        waits.append(now[0])
        now[0] += 4
        yield

    found = make_processor(root, recipe, cache=shared).process(
        source, strategy("cleaning"), StrategyRun(release_worker=release_worker)
    )
    assert found.dataset.read()["answer"].to_pylist() == [f"a {CLEAN}"]
    assert waits == [0, 4, 8]
