"""Processing: prefixes are computed once, cached, counted, and a fault leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.storage import Storage
from actors.strategy_store import StrategyStore
from actors.strategy_upkeep import origins
from autodp_ray.journal import Journal
from autodp_ray.spending import count_spending
from autodp_ray.strategy import NONE, Strategy, strategy_space
from operators.base import Resources
from operators.errors import EndpointError
from tests.autodp_ray.run_fakes import FakeRecipe, FixedCompleter, make_processor, stored

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
    for text in ("cleaning>optimization", "cleaning>generation", "cleaning"):
        processor.process(source, strategy(text))
    assert recipe.ran == [CLEAN, REWRITE, FILL]
    assert processor.num_delivered == 5
    assert count_spending(Journal(root.folder("run"))).team_runs_executed == 3


def test_the_whole_space_of_three_teams_takes_fifteen_team_runs(tmp_path: Path) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    processor, source = make_processor(root, recipe), stored(root.folder("in"), ["a"])
    space = strategy_space(tuple(strategy("cleaning>optimization>generation").teams))
    for one in space:
        processor.process(source, one)
    assert (len(space), processor.num_delivered, len(recipe.ran)) == (16, 33, 15)


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
def test_a_fault_leaves_no_entry_no_event_and_no_work_and_is_tried_again(tmp_path: Path, error: Exception) -> None:
    root, recipe = Storage.at(tmp_path), FakeRecipe()
    processor, source = make_processor(root, recipe), stored(root.folder("in"), ["a"])
    recipe.failing[REWRITE] = error
    with pytest.raises(type(error)):
        processor.process(source, strategy("cleaning>optimization>generation"))
    assert root.names("cache/work") == []
    assert len(root.names("cache/datasets")) == 1
    assert Journal(root.folder("run")).count("team_run") == 1
    assert processor.num_delivered == 1
    recipe.failing.clear()
    processor.process(source, strategy("cleaning>optimization"))
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
