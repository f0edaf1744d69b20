"""The engine on a tiny random model: equal results alone and together, seeds, ends, guided decoding, beginnings."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actors.cpu_engine.engine import TransformersEngine
from actors.cpu_engine.prefix import MIN_SHARED, PrefixCache, common_length, group_by_beginning, shared_length
from actors.cpu_engine.prompts import PromptTooLongError
from actors.cpu_engine.row import GenerationRequest, certain_length, draw, first_stop, keep_nucleus
from actors.models.chat_tokens import ChatTokens

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "kind": {"enum": ["good", "bad"]},
            "score": {"type": "integer", "minimum": 1, "maximum": 5},
        },
        "required": ["kind", "score"],
        "additionalProperties": False,
    }
)
INSTRUCTIONS = "Rewrite the question and the answer so that they are correct, short and safe. Keep the meaning. " * 3


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(str(tiny_model), max_batch_size=4, num_threads=1)


def ask(text: str = "What is the usual dose?", **changes: object) -> GenerationRequest:
    request = GenerationRequest(messages=(("user", text),), max_tokens=12)
    return dataclasses.replace(request, **changes)  # type: ignore[arg-type]


def test_greedy_decoding_equals_the_library_s_own(engine: TransformersEngine) -> None:
    text = engine.tokenizer.apply_chat_template(
        [{"role": "user", "content": "hello fox"}], add_generation_prompt=True, tokenize=False
    )
    inputs = engine.tokenizer(text, return_tensors="pt")
    ids = engine.model.generate(**inputs, max_new_tokens=20, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    (reply,) = engine.generate([ask("hello fox", max_tokens=20)])
    assert reply.text == engine.tokenizer.decode(ids, skip_special_tokens=True)
    assert reply.prompt_tokens == inputs["input_ids"].shape[1]


def test_rows_of_any_length_give_together_what_they_give_alone(engine: TransformersEngine) -> None:
    requests = [ask("lazy dog " * k, max_tokens=3 + 2 * k, temperature=0.8 * (k % 2), seed=k) for k in range(1, 11)]
    assert engine.generate(requests) == [engine.generate([request])[0] for request in requests]


def test_a_shared_beginning_changes_no_reply(tiny_model: Path) -> None:
    requests = [ask(INSTRUCTIONS + "fox " * k, temperature=0.7, seed=k) for k in range(6)]
    sharing = TransformersEngine(str(tiny_model), max_batch_size=4)
    plain = TransformersEngine(str(tiny_model), max_batch_size=1, prefix_cache_tokens=0)
    assert sharing.generate(requests) == plain.generate(requests)
    assert sharing.generate(requests) == plain.generate(requests), "also when the beginning is remembered"


def test_a_shared_beginning_is_computed_once(tiny_model: Path) -> None:
    engine = TransformersEngine(str(tiny_model), max_batch_size=8)
    seen: list[int] = []
    engine.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    requests = [ask(INSTRUCTIONS + f"row {k}", max_tokens=1) for k in range(8)]
    replies = engine.generate(requests)
    assert sum(seen) < replies[0].prompt_tokens * 2, "eight prompts cost less than two of them would"


def test_a_seed_decides_a_sampled_reply(engine: TransformersEngine) -> None:
    replies = engine.generate([ask(temperature=1.0, seed=seed) for seed in (1, 2, 3, 1)])
    assert replies[0] == replies[3]
    assert len({reply.text for reply in replies}) == 3


def test_each_row_ends_by_its_own_limit_and_counts_its_tokens(engine: TransformersEngine) -> None:
    replies = engine.generate([ask(max_tokens=limit) for limit in (1, 4, 9)])
    assert [reply.completion_tokens for reply in replies] == [1, 4, 9]
    assert {reply.finish_reason for reply in replies} == {"length"}


def test_a_stop_string_ends_a_reply_and_is_not_part_of_it(engine: TransformersEngine) -> None:
    (whole,) = engine.generate([ask(max_tokens=24, temperature=1.0, seed=5)])
    stop = whole.text[4:6]
    (cut,) = engine.generate([ask(max_tokens=24, temperature=1.0, seed=5, stop=("never there", stop))])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.completion_tokens < whole.completion_tokens


def test_an_end_token_ends_a_reply_with_stop(engine: TransformersEngine) -> None:
    replies = engine.generate([ask(temperature=1.5, seed=seed, max_tokens=200) for seed in range(12)])
    ended = [reply for reply in replies if reply.finish_reason == "stop"]
    assert ended
    assert all(reply.completion_tokens < 200 and "<|im_end|>" not in reply.text for reply in ended)


def test_a_schema_is_followed_by_the_rows_that_ask_for_it_and_by_no_other(engine: TransformersEngine) -> None:
    guided = [ask(f"row {k}", max_tokens=60, temperature=1.0, seed=k, json_schema=SCHEMA) for k in range(4)]
    free = ask("free", max_tokens=8)
    replies = engine.generate([guided[0], free, *guided[1:]])
    for reply in [replies[0], *replies[2:]]:
        value = json.loads(reply.text)
        assert value["kind"] in ("good", "bad")
        assert 1 <= value["score"] <= 5
        assert reply.finish_reason == "stop"
    assert replies[1] == engine.generate([free])[0]


@pytest.mark.parametrize("bound", [{}, {"maxLength": 12}, {"minLength": 2}])
def test_guided_strings_are_strict_json_whatever_their_bounds(
    engine: TransformersEngine, bound: dict[str, int]
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", **bound}}, "required": ["a"]}
    asked = [ask(max_tokens=80, temperature=1.3, seed=s, json_schema=json.dumps(schema)) for s in range(30)]
    ended = [reply for reply in engine.generate(asked) if reply.finish_reason == "stop"]
    assert ended
    assert all(set(json.loads(reply.text)) == {"a"} for reply in ended)


@pytest.mark.parametrize("schema", ["{", '{"type": "nonsense"}', '{"$ref": "#/nowhere"}'])
def test_a_schema_that_is_none_is_refused_before_anything_runs(engine: TransformersEngine, schema: str) -> None:
    with pytest.raises(ValueError, match="grammar cannot be compiled"):
        engine.generate([ask(), ask(json_schema=schema)])


def test_a_prompt_beyond_the_context_is_refused_and_a_long_limit_is_cut(tiny_model: Path) -> None:
    engine = TransformersEngine(str(tiny_model), max_model_len=40)
    with pytest.raises(PromptTooLongError, match="maximum context length is 40"):
        engine.prepare(ask("fox " * 60))
    (reply,) = engine.generate([ask("hi", max_tokens=1000)])
    assert reply.prompt_tokens + reply.completion_tokens == 40


def test_streamed_pieces_add_up_to_the_reply_and_never_show_a_stop_string(engine: TransformersEngine) -> None:
    whole = engine.generate([ask(max_tokens=30, temperature=1.0, seed=9)])[0].text
    stop = whole[10:13]
    row = engine.prepare(ask(max_tokens=30, temperature=1.0, seed=9, stop=(stop,)))
    pieces: list[str] = []
    row.on_text = pieces.append
    batch = engine.new_batch()
    batch.admit([row])
    while len(batch):
        batch.step()
    assert len(pieces) > 1
    assert "".join(pieces) == row.reply().text == whole[: whole.index(stop)]


def test_a_cancelled_row_leaves_the_batch_and_the_others_go_on(engine: TransformersEngine) -> None:
    kept, gone = engine.prepare(ask("kept")), engine.prepare(ask("gone " * 9))
    batch = engine.new_batch()
    batch.admit([gone, kept])
    gone.cancel()
    batch.step()
    assert len(batch) == 1
    while len(batch):
        batch.step()
    assert kept.reply() == engine.generate([ask("kept")])[0]


def test_a_model_without_chat_template_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    for file in tiny_model.iterdir():
        if file.name != "chat_template.jinja":
            (tmp_path / file.name).symlink_to(file)
    with pytest.raises(ValueError, match="no chat template"):
        TransformersEngine(str(tmp_path))


@given(st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
def test_a_nucleus_is_the_smallest_set_that_holds_its_share(top_p: float, seed: int) -> None:
    logits = torch.randn(50, generator=torch.Generator().manual_seed(seed))
    kept = keep_nucleus(logits, top_p).isfinite()
    probabilities = logits.softmax(0)
    assert probabilities[kept].min() >= probabilities[~kept].max() if (~kept).any() else True
    assert probabilities[kept].sum() >= top_p - 1e-5
    assert probabilities[kept].sum() - probabilities[kept].min() < top_p + 1e-5


@given(st.text(alphabet="ab#", max_size=12), st.lists(st.text(alphabet="ab#", min_size=1, max_size=4), max_size=3))
def test_what_is_certain_stays_whatever_follows(text: str, stop: list[str]) -> None:
    if first_stop(text, stop) is None:
        certain = certain_length(text, stop)
        for following in ("", "a", "b#", "#ab", "ba#b"):
            cut = first_stop(text + following, stop)
            assert cut is None or cut >= certain


prompts = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple), min_size=1, max_size=6)


@given(prompts)
def test_the_shared_length_is_what_all_prompts_begin_with(rows: list[tuple[int, ...]]) -> None:
    length = shared_length(rows)
    assert len({row[:length] for row in rows}) == 1
    assert all(len(row) > length for row in rows)
    if all(len(row) > length + 1 for row in rows):
        assert len({row[: length + 1] for row in rows}) > 1
    assert length <= min(common_length(rows[0], row) for row in rows)


def test_prompts_that_begin_alike_are_grouped_and_the_rest_form_one_group() -> None:
    first, second = tuple(range(MIN_SHARED)), tuple(range(1, MIN_SHARED + 1))
    rows = [(*first, 1), (7,), (*second, 1), (*first, 2), (8, 8), (*second, 2)]
    groups = group_by_beginning(rows, known=PrefixCache(max_tokens=0))
    assert sorted(map(sorted, groups)) == [[0, 3], [1, 4], [2, 5]]


def test_a_prompt_of_megabytes_is_refused_before_it_is_tokenized(
    engine: TransformersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokenize(chat: object, texts: object) -> list[list[int]]:
        raise AssertionError("the prompt is far too long to be tokenized")

    monkeypatch.setattr(ChatTokens, "tokenize", tokenize)
    with pytest.raises(PromptTooLongError, match="20000000 characters"):
        engine.prepare(ask("x" * 20_000_000))


def test_a_template_without_a_system_role_gets_the_text_in_the_next_turn(tiny_model: Path) -> None:
    engine = TransformersEngine(str(tiny_model))
    plain = engine.tokenizer.chat_template
    asked = GenerationRequest(messages=(("system", "Be brief."), ("user", "Why?")), max_tokens=2)
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    silent = plain.replace("{% for message in messages %}", "{% for message in messages if message.role != 'system' %}")
    for template in (refusing + plain, silent):
        engine.tokenizer.chat_template = template
        prompt = engine.tokenizer.decode(engine.prepare(asked).prompt)
        assert prompt == "<|im_start|>user\nBe brief.\n\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    engine.tokenizer.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(ValueError, match="takes them in no form"):
        engine.prepare(asked)


def test_options_reach_the_chat_template(tiny_model: Path) -> None:
    engine = TransformersEngine(str(tiny_model))
    engine.tokenizer.chat_template += "{% if enable_thinking is false %}skip{% endif %}"
    request = ask("Why?", template_options=(("enable_thinking", False),))
    assert engine.tokenizer.decode(engine.prepare(request).prompt).endswith("assistant\nskip")


def test_the_least_temperatures_take_the_likeliest_token(engine: TransformersEngine) -> None:
    greedy, *others = engine.generate([ask(temperature=heat) for heat in (0.0, 1e-38, 1e-9)])
    assert [other.text for other in others] == [greedy.text] * 2


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0, float("-inf")])
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([draw(logits, generator) for _ in range(20_000)])
    shares = torch.bincount(drawn, minlength=4) / len(drawn)
    assert torch.allclose(shares, logits.softmax(0), atol=0.015)


def test_a_draw_outlives_the_noise_of_bfloat16() -> None:
    rng = torch.Generator().manual_seed(1)
    same = 0
    for seed in range(400):
        logits = torch.randn(5_000, generator=rng) * 2
        rounded = logits.to(torch.bfloat16).float()
        one, other = (draw(each, torch.Generator().manual_seed(seed)) for each in (logits, rounded))
        same += one == other
    assert same >= 380, "a draw by cumulative probability agrees in fewer than 300"
