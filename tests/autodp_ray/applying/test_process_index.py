"""`process --index`: rows that copy what earlier outputs kept go, whatever is killed in between. No Ray."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import ProgressFn
from actors.data.stored_dataset import StoredDataset
from actors.storage.storage import Storage
from autodp_ray.applying import engine
from autodp_ray.applying import process as process_module
from autodp_ray.applying.accounts import Applied
from autodp_ray.applying.output_index import OutputIndex
from autodp_ray.applying.output_record import ClaimedOutput
from autodp_ray.applying.process import ProcessOptions, process
from autodp_ray.cluster.ray import Cluster
from autodp_ray.progress import Silent
from autodp_ray.strategies.processing import Processor
from operators.contract.errors import InputError
from operators.contract.in_process import apply_to_parts
from operators.contract.operator import Operator, PartitionedOperator
from operators.contract.resources import Resources
from tests.autodp_ray.run_fakes import lock_held, pair, write_jsonl

Act = Callable[..., Applied]


def run_in_process(
    dataset: StoredDataset,
    recipe: Sequence[Operator],
    *,
    resources: Resources,
    out: Storage,
    pool: PoolConfig,
    on_progress: ProgressFn | None = None,
) -> StoredDataset:
    """The one operator of a recipe on all parts."""
    (operator,) = recipe
    assert isinstance(operator, PartitionedOperator)
    done = apply_to_parts(operator.build(resources), list(dataset.batches()))
    counts = {reason: sum(part.counts.get(reason, 0) for part in done) for part in done for reason in part.counts}
    return StoredDataset.write(out, [part.table for part in done], counts)


@pytest.fixture
def act(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Act:
    """Three files of rows: `b` has one of `a`, `c` one of each."""

    @contextmanager
    def connected() -> Iterator[Cluster]:
        yield Cluster(is_own=False, num_nodes=1, num_cpus=2, num_gpus=0, hosts=frozenset())

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process_module, "connected", connected)
    monkeypatch.setattr(engine, "Processor", functools.partial(Processor, apply_recipe=run_in_process))
    for name, numbers in {"a": [1, 2, 2, 3], "b": [3, 4, 4, 5], "c": [1, 5, 6]}.items():
        write_jsonl(tmp_path / f"{name}.jsonl", [pair(number) for number in numbers])

    def act(name: str, *, overrides: Sequence[str] = (), **what: str) -> Applied:
        given = {"data": f"{name}.jsonl", "output": f"out-{name}.jsonl", "strategy": "mine", "index": "index", **what}
        teams = "teams.mine=[{name: deduplicate}]"
        return process(ProcessOptions(overrides=(teams, *overrides), **given), progress=Silent())

    return act


def _questions(done: Applied) -> list[int]:
    told = [json.loads(line) for file in done.files for line in Path(file).read_text().splitlines()]
    numbers = {json.dumps(pair(number)): number for number in range(20)}
    return [numbers[json.dumps(row)] for row in told]


def test_copies_of_what_was_kept_before_go_and_every_row_is_accounted_for(act: Act) -> None:
    assert _questions(act("a")) == [1, 2, 3]
    done = act("b")
    assert _questions(done) == [4, 5]
    assert (done.rows_in, done.rows_out, done.dropped) == (4, 2, {"near_duplicate": 2})
    assert _questions(act("c")) == [6]


def test_the_same_command_again_does_nothing_and_adds_nothing(act: Act) -> None:
    first = [act("a"), act("b")]
    assert [act("a"), act("b")] == first
    assert _questions(act("c")) == [6]


def test_an_output_without_its_rows_in_the_index_is_made_again(act: Act) -> None:
    act("a")
    shutil.rmtree("index")
    assert _questions(act("a")) == [1, 2, 3]
    assert _questions(act("b")) == [4, 5]


@pytest.mark.parametrize(
    "place", [(OutputIndex, "add"), (ClaimedOutput, "close"), (engine, "write_dataset"), (process_module, "carry_out")]
)
def test_killed_at_any_moment_rows_are_no_copies_of_themselves(
    act: Act, place: tuple[object, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    act("a")
    with monkeypatch.context() as patched:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(*place, killed)
        with pytest.raises(KeyboardInterrupt):
            act("b")
    assert _questions(act("b")) == [4, 5]
    assert _questions(act("c")) == [6]


def test_an_output_that_is_made_anew_is_not_compared_with_its_old_rows(act: Act) -> None:
    act("a")
    write_jsonl(Path("a.jsonl"), [pair(number) for number in (2, 7, 7)])
    assert _questions(act("a")) == [2, 7]
    write_jsonl(Path("b.jsonl"), [pair(number) for number in (1, 2, 7)])
    assert _questions(act("b")) == [1]


def test_rows_of_an_output_that_was_moved_are_not_forgotten_without_a_word(act: Act) -> None:
    act("a")
    Path("out-a.jsonl").rename("elsewhere.jsonl")
    assert _questions(act("a")) == [1, 2, 3]
    Path("out-a.jsonl").rename("elsewhere.jsonl")
    with pytest.raises(InputError, match=r"knows 3 rows of an earlier .*out-a\.jsonl, which is not there any more"):
        act("b", output="out-a.jsonl")
    shutil.rmtree(next(Path("index").glob("out-a*")))
    assert _questions(act("b", output="out-a.jsonl")) == [3, 4, 5]


def test_an_index_of_other_settings_is_refused_before_rows_are_read(act: Act) -> None:
    act("a")
    with pytest.raises(InputError, match=r"was made with threshold 0\.8, but here it is 0\.7"):
        act("b", overrides=["teams.mine=[{name: deduplicate, threshold: 0.7}]"])
    with pytest.raises(InputError, match="was made with num_perm 128, but here it is 64"):
        act("b", overrides=["teams.mine=[{name: deduplicate, num_perm: 64}]"])
    with pytest.raises(InputError, match="in none 0 operators do"):
        act("b", strategy="none")
    assert not Path("out-b.jsonl").exists()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"data": "in", "index": "in/index"}, "lies in the input"),
        ({"output": "index"}, "must be folders apart"),
        ({"output": "index/out"}, "must be folders apart"),
        ({"output": "out", "index": "out/index"}, "must be folders apart"),
        ({"index": "a.jsonl"}, "lies in the input"),
        ({"index": "b.jsonl"}, "cannot be a folder"),
    ],
)
def test_an_index_among_other_files_is_refused(act: Act, what: dict[str, str], said: str) -> None:
    Path("in").mkdir()
    shutil.copy("a.jsonl", "in")
    with pytest.raises(InputError, match=said):
        act("a", **what)


def test_one_command_at_a_time_adds_to_an_index(act: Act) -> None:
    act("a")
    with lock_held(Path("index/.lock")), pytest.raises(InputError, match=r"index .* is in use by another process"):
        act("b")
