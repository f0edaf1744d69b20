"""Through a recipe, with a real client and store: which rows of a later team run are asked about again."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa
import pytest

from actors.data.lent_operator import LentOperator
from actors.data.part_jobs import ApplyRows, PartWriter
from actors.llm.client import ChatClient
from actors.llm.completion_store import CompletionStore
from actors.llm.engines.endpoint import EndpointLLM
from actors.llm.spec import LLMEndpoint
from actors.storage.storage import Storage
from operators.contract.operator import RowOperator
from operators.contract.resources import Resources
from operators.llm.prompting import Decoding
from operators.optimize import OptimizePair
from operators.rows.record import RECORD_SCHEMA
from operators.strip_markup import StripMarkup
from tests.autodp_ray.run_fakes import WordTokenizer, sentence
from tests.integration.scripted_endpoint import Endpoint, rewrite, scripted_endpoint

NUM_ROWS, NUM_DIRTY = 12, 3
CLEANING: tuple[RowOperator, ...] = (StripMarkup(),)
WARM = Decoding(temperature=0.7)
OPTIMIZE = OptimizePair(decoding=WARM)


def _row(number: int) -> dict[str, object]:
    question = sentence(number) if number >= NUM_DIRTY else f"<p>{sentence(number)}</p>"
    answer = f"{sentence(number + 500)}."
    return {"id": f"r{number}", "history": [], "question": question, "answer": answer, "origin": "source"}


ROWS = pa.Table.from_pylist([_row(number) for number in range(NUM_ROWS)], schema=RECORD_SCHEMA)


class Lab:
    """Runs recipes, each with a client of its own over one store, and counts what the endpoint is asked."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self._endpoint = endpoint
        self._folder = folder
        self._store = CompletionStore(folder / "completions.sqlite")
        self._runs = count()

    def calls(self, *recipe: RowOperator, model: str = "m", revision: str = "1", domain: str = "general") -> int:
        """How many requests reached the endpoint while the recipe ran on all rows."""
        url = self._endpoint.base_url
        spec = EndpointLLM(model=model, base_url=url, revision=revision)
        client = ChatClient(LLMEndpoint(base_url=url, model=model, revision=revision), spec, store=self._store)
        resources = Resources(completer=client, tokenizer=WordTokenizer(), domain=domain)
        out = PartWriter(folder=Storage.at(self._folder / str(next(self._runs))))
        before = len(self._endpoint.requests)
        written = ApplyRows(operators=[LentOperator.of(one, resources) for one in recipe], out=out, rows_at_once=64)(
            0, ROWS
        )
        made = len(self._endpoint.requests) - before
        assert written.counts["llm_calls_requested"] == NUM_ROWS
        assert written.counts.get("llm_calls_executed", 0) == made
        return made


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with scripted_endpoint(rewrite) as endpoint:
        yield Lab(endpoint, tmp_path)


def test_after_optimization_cleaning_before_it_asks_only_about_the_rows_that_cleaning_changed(lab: Lab) -> None:
    assert lab.calls(OPTIMIZE) == NUM_ROWS
    assert lab.calls(*CLEANING, OPTIMIZE) == NUM_DIRTY
    assert lab.calls(*CLEANING, OPTIMIZE) == 0
    assert lab.calls(OPTIMIZE) == 0


CHANGES: dict[str, tuple[OptimizePair, dict[str, str]]] = {
    "prompt": (OPTIMIZE, {"domain": "law"}),
    "seed": (OptimizePair(decoding=WARM, seed=1), {}),
    "model": (OPTIMIZE, {"model": "another"}),
    "revision": (OPTIMIZE, {"revision": "2"}),
    "temperature": (OptimizePair(decoding=Decoding(temperature=0.8)), {}),
    "greedy": (OptimizePair(), {}),
    "reply limit": (OptimizePair(decoding=Decoding(temperature=0.7, max_tokens=64)), {}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_prompt_seed_model_or_decoding_asks_about_every_row(lab: Lab, what: str) -> None:
    operator, changed = CHANGES[what]
    assert lab.calls(OPTIMIZE) == NUM_ROWS
    assert lab.calls(operator, **changed) == NUM_ROWS


def test_a_greedy_reply_has_no_seed_so_rows_of_equal_content_share_it(lab: Lab) -> None:
    assert lab.calls(OptimizePair()) == NUM_ROWS
    assert lab.calls(OptimizePair(seed=1)) == 0
