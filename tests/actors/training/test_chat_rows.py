"""Records as tokens: what is trained on, what is left out, what is cut, and in which order."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from actors.models.chat_forms import merged_turns, without_system
from actors.models.chat_tokens import ChatTokens
from actors.training.chat_rows import ChatEncoder, fit, training_order
from operators.rows.record import RECORD_SCHEMA

NO_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles alternate') }}{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(tiny_model)


def table(*rows: tuple[str, list[tuple[str, str]], str | None, str | None]) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "id": row_id,
                "history": [{"role": role, "content": content} for role, content in history],
                "question": question,
                "answer": answer,
                "origin": "source",
            }
            for row_id, history, question, answer in rows
        ],
        schema=RECORD_SCHEMA,
    )


def test_prompt_and_answer_are_what_the_template_writes(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = table(("a", [("user", "hi"), ("assistant", "hello")], "what is it", "a test"))
    (example,) = ChatEncoder(tokenizer, max_length=200).encode(rows).examples
    prompt = tokenizer.decode(example.tokens[: example.num_prompt])
    answer = tokenizer.decode(example.tokens[example.num_prompt :])
    assert prompt == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>\n"
        "<|im_start|>user\nwhat is it<|im_end|>\n<|im_start|>assistant\n"
    )
    assert answer == "a test<|im_end|>"


def test_rows_without_question_or_answer_are_left_out_and_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = table(("a", [], None, "x"), ("b", [], "q", None), ("c", [], "q", "  "), ("d", [], "q", "yes"))
    encoded = ChatEncoder(tokenizer, max_length=64).encode(rows)
    assert [example.row_id for example in encoded.examples] == ["d"]
    assert encoded.left_out == {"no_question": 1, "no_answer": 2}


def test_an_empty_table_gives_no_examples(tokenizer: PreTrainedTokenizerFast) -> None:
    assert ChatEncoder(tokenizer, max_length=64).encode(RECORD_SCHEMA.empty_table()).examples == ()


def test_rows_are_encoded_a_few_at_a_time_and_kept_at_four_bytes_a_token(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table(*((str(at), [], "why " * at or None, "so " * (7 - at)) for at in range(8)))
    whole = ChatEncoder(tokenizer, max_length=40).encode(rows)
    monkeypatch.setattr("actors.training.chat_rows.ROWS_PER_CALL", 3)
    calls: list[int] = []

    class Counting(ChatTokens):
        def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
            calls.append(len(texts))
            return super().tokenize(texts)

    monkeypatch.setattr("actors.training.chat_rows.ChatTokens", Counting)
    assert ChatEncoder(tokenizer, max_length=40).encode(rows) == whole
    assert calls == [4, 6, 2]
    assert len(whole.examples) == 6
    assert {example.tokens.itemsize for example in whole.examples} == {4}


def test_long_rows_are_cut_and_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = table(("long", [], "why " * 100, "so " * 100), ("short", [], "why", "so"))
    encoded = ChatEncoder(tokenizer, max_length=40).encode(rows)
    assert encoded.num_truncated == 1
    assert [len(example.tokens) <= 40 for example in encoded.examples] == [True, True]
    long = encoded.examples[0]
    assert tokenizer.decode(long.tokens[: long.num_prompt]).endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_a_template_without_system_role_gets_the_text_in_the_next_turn(tokenizer: PreTrainedTokenizerFast) -> None:
    strict = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    strict.chat_template = NO_SYSTEM
    rows = table(("a", [("system", "be brief"), ("user", "hi"), ("user", "there")], "what", "this"))
    encoded = ChatEncoder(strict, max_length=200).encode(rows)
    assert encoded.left_out == {}
    (example,) = encoded.examples
    assert "user\nbe brief\n\nhi\n\nthere\n\nwhat<|im_end|>" in strict.decode(example.tokens)


def test_a_row_that_no_form_of_the_template_takes_is_left_out(tokenizer: PreTrainedTokenizerFast) -> None:
    strict = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    strict.chat_template = "{{ raise_exception('never') }}"
    encoded = ChatEncoder(strict, max_length=200).encode(table(("a", [], "q", "r")))
    assert (encoded.examples, encoded.left_out) == ((), {"template": 1})


def test_a_tokenizer_without_template_gets_a_plain_form(tokenizer: PreTrainedTokenizerFast) -> None:
    plain = AutoTokenizer.from_pretrained(tokenizer.name_or_path)
    plain.chat_template = None
    (example,) = ChatEncoder(plain, max_length=64).encode(table(("a", [], "q", "r"))).examples
    assert plain.decode(example.tokens) == "user: q\nassistant: r<|im_end|>"


def test_system_text_moves_and_neighbours_join() -> None:
    turns = [("assistant", "x"), ("system", "s"), ("user", "a"), ("user", "b"), ("assistant", "c")]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert [message["content"] for message in merged_turns(without_system(messages))] == ["s\n\na\n\nb", "c"]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(8, 40))
def test_fit_keeps_the_prompts_end_and_the_answers_start(num_prompt: int, num_answer: int, max_length: int) -> None:
    prompt, answer = list(range(num_prompt)), list(range(100, 100 + num_answer))
    kept_prompt, kept_answer = fit(prompt, answer, max_length=max_length)
    assert len(kept_prompt) + len(kept_answer) <= max_length
    assert list(kept_prompt) == prompt[num_prompt - len(kept_prompt) :]
    assert list(kept_answer) == answer[: len(kept_answer)]
    assert len(kept_answer) >= min(num_answer, max_length - max_length // 2)
    if num_prompt + num_answer <= max_length:
        assert (len(kept_prompt), len(kept_answer)) == (num_prompt, num_answer)


@given(st.lists(st.text(max_size=4), unique=True, min_size=1, max_size=30), st.integers(0, 9), st.randoms())
def test_the_order_of_training_depends_on_ids_and_seed_alone(ids: list[str], seed: int, random: Random) -> None:
    shuffled = random.sample(ids, len(ids))
    first = [ids[at] for at in training_order(ids, seed=seed, epoch=0)]
    assert first == [shuffled[at] for at in training_order(shuffled, seed=seed, epoch=0)]
    assert sorted(first) == sorted(ids)


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    ids = [str(at) for at in range(50)]
    orders = [training_order(ids, seed=seed, epoch=epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def test_ids_of_any_length_cost_no_more_than_their_own_size() -> None:
    ids = [f"{at}" for at in range(2000)]
    ids[7] = "x" * 500_000
    tracemalloc.start()
    order = training_order(ids, seed=0, epoch=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sorted(order.tolist()) == list(range(2000))
    assert peak < 4 * 500_000 + 64 * 2000
