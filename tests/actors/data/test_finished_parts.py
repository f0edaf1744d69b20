"""Notes of finished parts, and passes that go on from them, on a real local Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pytest

from actors.data.finished_parts import FINISHED, FinishedParts
from actors.data.part_jobs import Written
from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import run_recipe
from actors.data.stored_dataset import Part, StoredDataset, write_part
from actors.storage.storage import Storage
from operators.contract.counts import Transformed, keep_rows
from operators.contract.errors import RunError
from operators.contract.operator import DatasetOperator, Decision, Needs, Operator, RowOperator, RowTransform
from operators.contract.resources import Resources
from operators.rows.record import RECORD_SCHEMA

POOLS = [PoolConfig(part_rows=2), PoolConfig(), PoolConfig(part_rows=2, actor_pool_min_parts=1)]
POOL_NAMES = ["tasks", "kept", "actors"]


class Witnessed(RowOperator):
    """Notes every part that it is shown, in a file; fails at the rows that a file names."""

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs(own_model=True)
    reads: ClassVar[tuple[str, ...]] = ()
    writes: ClassVar[tuple[str, ...]] = ("answer",)
    name: Literal["witnessed"] = "witnessed"
    folder: str
    suffix: str = "!"

    def build(self, resources: Resources) -> RowTransform:
        place = Path(self.folder)

        def see(table: pa.Table) -> Transformed:
            first = table["id"][0].as_py()
            if (place / "fails" / first).exists():
                raise RunError(f"{first} is not to be done yet")
            seen = len(list(place.glob(f"{self.suffix}-{first}-*")))
            (place / f"{self.suffix}-{first}-{seen}").touch()
            answers = pa.array([f"{text}{self.suffix}" for text in table["answer"].to_pylist()], pa.string())
            return Transformed(table=table.set_column(3, "answer", answers), counts={"seen": table.num_rows})

        return see


@dataclass(frozen=True, kw_only=True)
class DropFirst:
    """The three parts of `LeastGoes`."""

    folder: str

    def sketch(self, batch: pa.Table) -> list[str]:
        return list(batch["id"].to_pylist())

    def decide(self, sketches: list[list[str]]) -> Decision:
        (Path(self.folder) / "decided").touch()
        return Decision(state=min(row for sketch in sketches for row in sketch))

    def apply(self, batch: pa.Table, decision: Decision) -> Transformed:
        first = batch["id"][0].as_py()
        if (Path(self.folder) / "fails" / f"apply-{first}").exists():
            raise RunError(f"{first} is not to be done yet")
        return keep_rows(batch, {"least": np.array([row == decision.state for row in batch["id"].to_pylist()])})


class LeastGoes(DatasetOperator):
    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = Needs()
    reads: ClassVar[tuple[str, ...]] = ("id",)
    writes: ClassVar[tuple[str, ...]] = ()
    name: Literal["least_goes"] = "least_goes"
    folder: str

    def build(self, resources: Resources) -> DropFirst:  # type: ignore[override] # a test's sketches are lists
        return DropFirst(folder=self.folder)


def table(start: int, num_rows: int) -> pa.Table:
    rows = [
        {"id": f"r{number:02d}", "history": None, "question": "q", "answer": f"a{number}", "origin": "source"}
        for number in range(start, start + num_rows)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


@pytest.fixture
def dataset(tmp_path: Path) -> StoredDataset:
    """Six parts of two rows."""
    (tmp_path / "seen" / "fails").mkdir(parents=True)
    return StoredDataset.write(Storage.at(tmp_path / "in"), [table(start, 2) for start in range(0, 12, 2)])


def times_seen(folder: Path, suffix: str = "!") -> dict[str, int]:
    """How often the operator was shown the part that starts with a row."""
    names = [file.name.removeprefix(f"{suffix}-") for file in folder.glob(f"{suffix}-r*")]
    firsts = [name.partition("-")[0] for name in names]
    return {first: firsts.count(first) for first in sorted(firsts)}


def allow(folder: Path) -> None:
    for file in (folder / "fails").iterdir():
        file.unlink()


@pytest.mark.parametrize("pool", POOLS, ids=POOL_NAMES)
def test_a_pass_that_broke_off_goes_on_with_the_parts_that_are_left(
    local_ray: None, tmp_path: Path, dataset: StoredDataset, pool: PoolConfig
) -> None:
    seen, recipe = tmp_path / "seen", [Witnessed(folder=str(tmp_path / "seen"))]
    (seen / "fails" / "r10").touch()
    out = Storage.at(tmp_path / "out")
    with pytest.raises(RunError, match="r10 is not to be done yet"):
        run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool.model_copy(update={"max_workers": 1}))
    done_before = set(times_seen(seen))
    assert done_before
    assert StoredDataset.open(out) is None
    allow(seen)
    done = run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    assert times_seen(seen) == {f"r{start:02d}": 1 for start in range(0, 12, 2)}
    assert done.read()["answer"].to_pylist() == [f"a{number}!" for number in range(12)]
    assert done.manifest.counts == {"seen": 12}
    assert not out.exists(FINISHED)


def test_what_is_damaged_or_of_another_pass_is_done_again(
    local_ray: None, tmp_path: Path, dataset: StoredDataset
) -> None:
    seen, out, pool = tmp_path / "seen", Storage.at(tmp_path / "out"), POOLS[0].model_copy(update={"max_workers": 1})
    (seen / "fails" / "r10").touch()
    recipe = [Witnessed(folder=str(seen))]
    with pytest.raises(RunError):
        run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    out.write_bytes("part-000000.arrow", b"damage")
    out.delete("part-000001.arrow")
    out.write_text(f"{FINISHED}/00000002.json", out.read_text(f"{FINISHED}/00000002.json").replace("r", "s"))
    allow(seen)
    done = run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    done.verify()
    assert times_seen(seen) == {"r00": 2, "r02": 2, "r04": 2, "r06": 1, "r08": 1, "r10": 1}

    (seen / "fails" / "r10").touch()
    other = Storage.at(tmp_path / "other")
    with pytest.raises(RunError):
        run_recipe(dataset, recipe, resources=Resources(), out=other, pool=pool)
    allow(seen)
    changed = run_recipe(
        dataset, [Witnessed(folder=str(seen), suffix="?")], resources=Resources(), out=other, pool=pool
    )
    assert changed.read()["answer"].to_pylist() == [f"a{number}?" for number in range(12)]


def test_whole_stages_are_not_run_again_and_their_counts_are_kept(
    local_ray: None, tmp_path: Path, dataset: StoredDataset
) -> None:
    seen, out, pool = tmp_path / "seen", Storage.at(tmp_path / "out"), POOLS[0].model_copy(update={"max_workers": 1})
    recipe: list[Operator] = [
        Witnessed(folder=str(seen)),
        LeastGoes(folder=str(seen)),
        Witnessed(folder=str(seen), suffix="?"),
    ]
    (seen / "fails" / "r10").touch()
    (seen / "fails" / "apply-r06").touch()
    with pytest.raises(RunError, match="r10"):
        run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    (seen / "fails" / "r10").unlink()
    with pytest.raises(RunError, match="r06"):
        run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    (seen / "fails" / "r08").touch()
    (seen / "fails" / "apply-r06").unlink()
    with pytest.raises(RunError, match="r08"):
        run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    allow(seen)
    (seen / "decided").unlink()
    done = run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    assert set(times_seen(seen).values()) == {1}
    assert not (seen / "decided").exists()
    assert done.manifest.counts == {"seen": 23, "dropped:least": 1}
    assert [answer[-2:] for answer in done.read()["answer"].to_pylist()] == ["!?"] * 11
    assert out.names() == ["manifest.json", *(f"part-{number:06d}.arrow" for number in range(6))]


def test_a_stage_whose_bytes_are_gone_is_run_again(local_ray: None, tmp_path: Path, dataset: StoredDataset) -> None:
    seen, out, pool = tmp_path / "seen", Storage.at(tmp_path / "out"), POOLS[0]
    recipe: list[Operator] = [Witnessed(folder=str(seen)), LeastGoes(folder=str(seen))]
    (seen / "fails" / "apply-r06").touch()
    with pytest.raises(RunError, match="r06"):
        run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    out.delete("stage-0/part-000003.arrow")
    allow(seen)
    done = run_recipe(dataset, recipe, resources=Resources(), out=out, pool=pool)
    assert done.manifest.counts == {"seen": 12, "dropped:least": 1}
    done.verify()


def test_a_note_is_believed_only_where_pass_input_and_file_are_the_same(tmp_path: Path) -> None:
    folder = Storage.at(tmp_path)
    source, other = (write_part(folder.folder("in"), number, table(number, 2)) for number in range(2))
    made = Written(part=write_part(folder, 4, table(7, 1)), counts={"dropped:short": 1})
    finished = FinishedParts(folder=folder, key="this pass")
    assert (finished.noted(), finished.find(4, source)) == (frozenset(), None)
    finished.note(4, source, made)
    assert (finished.noted(), finished.find(4, source)) == (frozenset({4}), made)
    assert finished.find(4, other) is None
    assert finished.find(5, source) is None
    assert FinishedParts(folder=folder, key="another pass").find(4, source) is None
    folder.write_bytes(made.part.file, b"")
    assert finished.find(4, source) is None
    finished.note(4, source, Written(part=evil(made.part), counts={}))
    with pytest.raises(RunError, match="leads out of"):
        finished.find(4, source)


def evil(part: Part) -> Part:
    return part.model_copy(update={"file": "../in/part-000000.arrow"})
