"""Twenty thousand rows give the same rows, splits, samples, ids and quarantine however they lie in files, whatever the
size of the parts, and for any number of workers.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash

import autodp_ray
from actors.storage.storage import Storage
from autodp_ray.cluster.ray import Cluster
from autodp_ray.journal import Journal
from autodp_ray.preparation.preparation import prepare
from autodp_ray.progress import Silent
from autodp_ray.records.splits import plan
from autodp_ray.samplers.embedding_matrix import EmbeddingMatrix
from autodp_ray.sampling.row_embedding import EmbeddedTable
from autodp_ray.sampling.search_sample import RowModels
from benchmarks.labelled_copies import damaged_row
from tests.autodp_ray.run_fakes import make_config

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("local_ray")]

NUM_ROWS = 20_200
SPLIT_BYTES = 150_000
HERE = Cluster(is_own=False, num_nodes=1, num_cpus=4, num_gpus=0, hosts=frozenset({"127.0.0.1"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in which the same rows are worked on."""

    workers: int
    part_rows: int
    num_files: int
    order: str = "as made"
    """Of the files, or of all lines."""

    @property
    def pool(self) -> dict[str, object]:
        return {"max_workers": self.workers, "part_rows": self.part_rows}


FIRST = Way(workers=1, part_rows=2048, num_files=1)
WAYS = [
    Way(workers=2, part_rows=300, num_files=7, order="files shuffled"),
    Way(workers=4, part_rows=9000, num_files=31, order="lines shuffled"),
    Way(workers=4, part_rows=300, num_files=3),
]
"""Every number of workers, size of parts, order and cut, each beside others of the rest."""


@pytest.fixture(scope="module")
def lines() -> list[str]:
    """Real text: a fifth near-copies, a sixth with markup, and exact copies, holes, columns that come and go, lines
    that are no rows."""
    found = []
    for at in range(NUM_ROWS):
        row = damaged_row(at - at % 23 if at % 23 == 7 else at, language="english")
        values: dict[str, object] = {"question": row.question, "answer": None if at % 37 == 5 else row.answer}
        if at % 11 == 3:
            values["source"] = ["web", "", None, 7][at % 4]
        found.append("{no row" + str(at % 3) if at % 977 == 4 else json.dumps(values, ensure_ascii=False))
    return found


def write(lines: Sequence[str], way: Way, folder: Path) -> Path:
    draw = random.Random(way.num_files)
    lines = draw.sample(lines, len(lines)) if way.order == "lines shuffled" else lines
    cuts = [0, *sorted(draw.sample(range(1, len(lines)), way.num_files - 1)), len(lines)]
    files = [lines[start:stop] for start, stop in pairwise(cuts)]
    if way.order == "files shuffled":
        draw.shuffle(files)
    folder.mkdir()
    for at, part in enumerate(files):
        (folder / f"{at:03d}.jsonl").write_text("".join(f"{line}\n" for line in part), encoding="utf-8")
    return folder


def content(row: Mapping[str, object]) -> str:
    """The row without what the first of equal rows decides: the order of keys, and how a missing value is spelled."""
    return json.dumps({key: row[key] for key in sorted(row) if row[key] is not None}, ensure_ascii=False)


def bad_rows(file: Path) -> Counter[str]:
    return Counter(json.loads(line)["raw"] for line in file.read_text(encoding="utf-8").splitlines())


def embed(table: pa.Table) -> EmbeddedTable:
    """Eight numbers of the row's text."""
    texts = zip(table["question"].to_pylist(), table["answer"].to_pylist(), strict=True)
    seeds = [xxhash.xxh3_64_intdigest(f"{question}\n{answer}".encode()) for question, answer in texts]
    rows = np.array([np.random.default_rng(seed).normal(size=8) for seed in seeds])
    return EmbeddedTable(matrix=EmbeddingMatrix.of_array(rows), requested=table.num_rows, executed=table.num_rows)


def processed(lines: Sequence[str], way: Way, folder: Path) -> dict[str, object]:
    data = write(lines, way, folder / "data")
    sets = [f"pool.{key}={value}" for key, value in way.pool.items()]
    done = autodp_ray.process(str(data), strategy="cleaning", output=str(folder / "out"), overrides=sets)
    rows = [json.loads(line) for file in done.files for line in Path(file).read_text(encoding="utf-8").split("\n")[:-1]]
    return {
        "rows": sorted(map(content, rows)),
        "dropped": done.dropped,
        "bad": bad_rows(folder / "out" / "_quarantine" / "quarantine.jsonl"),
        "reasons": done.quarantine_reasons,
    }


def prepared(lines: Sequence[str], way: Way, folder: Path, *, method: str) -> dict[str, object]:
    config = make_config(
        write(lines, way, folder / "data"),
        splits={"guide": 50, "validation": 100, "test": 200, "min_train": 1000},
        sampling={"method": method, "rate": 0.02, "oversampling": 4},
        pool=way.pool,
    )
    run = Storage.at(folder / "run")
    models = RowModels(embed=embed, connect=lambda: HERE)
    found = prepare(config, run=run, journal=Journal(run), progress=Silent(), models=models)
    ids = run.read_table("splits/ids.arrow")
    return {
        "splits": sorted(zip(*ids.to_pydict().values(), strict=True)),  # ids are hashes of what rows hold
        "bad": bad_rows(folder / "run" / "quarantine" / "quarantine.jsonl"),
        "language": found.language,
        "counts": (found.num_in, found.num_quarantined, found.num_set_aside),
    }


@pytest.mark.parametrize(
    "work",
    [
        pytest.param(processed, id="processed"),
        *(pytest.param(partial(prepared, method=name), id=f"prepared by {name}") for name in ("stratified", "paper")),
    ],
)
def test_the_same_rows_come_of_it_whatever_the_files_parts_and_workers(
    lines: list[str], work: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(work)
    monkeypatch.setattr(plan, "MIN_SPLIT_BYTES", SPLIT_BYTES)
    expected = None
    for number, way in enumerate([FIRST, *WAYS]):
        folder = tmp_path / str(number)
        folder.mkdir()
        found = work(lines, way, folder)
        expected = expected or found
        differing = [name for name, value in found.items() if value != expected[name]]
        assert not differing, f"{way}: {differing} differ from those of {FIRST}"
