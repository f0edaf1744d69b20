"""The completion store: what is remembered, and what it is keyed by."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.llm.completion_store import CompletionStore, completion_key
from operators.contract.resources import Completion, CompletionRequest

REQUEST = CompletionRequest(messages=(("user", "hello"),), max_tokens=5, temperature=0.5, seed=1)


def test_what_was_put_comes_back_after_reopening(tmp_path: Path) -> None:
    told = {"k1": Completion(text="头痛 \x00 ok", finish_reason="length", prompt_tokens=3, completion_tokens=2)}
    store = CompletionStore(tmp_path / "sub" / "c.sqlite")
    store.put(told)
    store.close()
    assert CompletionStore(tmp_path / "sub" / "c.sqlite").get(["k0", "k1"]) == told


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (("user", "hello "),)},
        {"messages": (("system", "hello"),)},
        {"messages": (("user", "hel"), ("user", "lo"))},
        {"max_tokens": 6},
        {"temperature": 0.6},
        {"seed": 2},
        {"json_schema": "{}"},
    ],
)
def test_everything_that_shapes_a_reply_changes_its_key(change: dict[str, object]) -> None:
    changed = dataclasses.replace(REQUEST, **change)  # type: ignore[arg-type]
    assert completion_key(changed, revision="r") != completion_key(REQUEST, revision="r")


def test_the_revision_changes_the_key_and_a_greedy_seed_does_not() -> None:
    assert completion_key(REQUEST, revision="r") != completion_key(REQUEST, revision="s")
    greedy = dataclasses.replace(REQUEST, temperature=0.0)
    assert completion_key(greedy, revision="r") == completion_key(dataclasses.replace(greedy, seed=9), revision="r")


@given(st.lists(st.tuples(st.sampled_from(["user", "system"]), st.text()), min_size=1, max_size=3).map(tuple))
def test_keys_are_stable_and_differ_by_message(messages: tuple[tuple[str, str], ...]) -> None:
    request = CompletionRequest(messages=messages, max_tokens=5)
    assert completion_key(request, revision="r") == completion_key(request, revision="r")
    longer = dataclasses.replace(request, messages=(*messages, ("user", "")))
    assert completion_key(request, revision="r") != completion_key(longer, revision="r")


def test_a_pickled_store_opens_the_same_file(tmp_path: Path) -> None:
    store = CompletionStore(tmp_path / "c.sqlite")
    store.put({"k": Completion(text="x")})
    copy = pickle.loads(pickle.dumps(store))
    assert copy.get(["k"]) == {"k": Completion(text="x")}
