"""Chats as tokens, where no text of a message ever becomes a control token.

A chat template writes control tokens as strings (`<|im_start|>`), and a tokenizer cannot tell them from equal strings
in a row: such a row would speak as the system, or end its own turn. So control strings in messages are escaped before
the template sees them. What the template then wrote is tokenized by a copy of the tokenizer whose control tokens carry
secret names, in which the row's strings are ordinary text. A chat without such strings is tokenized as ever.

Needs a transformers tokenizer; knows no model and no record.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from jinja2 import TemplateError

ESCAPE = "\U000f0000"
"""Precedes an escaped string: itself for one of its kind, else a character that numbers a control string."""
FIRST_CODE = 0xF0001

REASONING_TAGS = re.compile(r"</?\w*(?:think|thought|reason|tool|answer)\w*>", re.IGNORECASE)
"""Tags that datasets of reasoning and tool use hold in their answers, where the model is to learn them."""

PROBE = [
    {"role": "system", "content": "a"},
    {"role": "user", "content": "b"},
    {"role": "assistant", "content": "c"},
    {"role": "user", "content": "d"},
]

TokenizeFn = Callable[[list[str]], list[list[int]]]


class ChatTokens:
    """Escapes what goes into one tokenizer's chat template, and tokenizes what comes out of it."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - a transformers tokenizer
        self._tokenizer = tokenizer
        self._controls = sorted(control_strings(tokenizer), key=lambda text: (-len(text), text))
        choices = [ESCAPE, *map(re.escape, self._controls)]
        self._hostile = re.compile("|".join(choices))
        self._written = re.compile(f"{ESCAPE}(.)|" + "|".join(choices[1:] or ["(?!)"]), re.DOTALL)
        self._codes = {text: at for at, text in enumerate(self._controls)}

    def escape(self, value: Any) -> Any:  # noqa: ANN401 - text, or what JSON holds
        """The value with control strings escaped in every text of it; equal to it where there are none."""
        if isinstance(value, str):
            return self._hostile.sub(self._escaped, value)
        if isinstance(value, dict):
            return {self.escape(key): self.escape(item) for key, item in value.items()}
        return [self.escape(item) for item in value] if isinstance(value, list) else value

    def unescape(self, text: str) -> str:
        """What a person reads in a text that the template wrote."""
        return self._written.sub(lambda found: self._literal(found[1]) if found[1] else found[0], text)

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text that the template wrote out of escaped messages; no special tokens are added."""
        found: list[list[int]] = [[]] * len(texts)
        apart = {at for at, text in enumerate(texts) if self._matches_normalized or ESCAPE in text}
        for places, tokenize in ((set(range(len(texts))) - apart, self._plainly), (apart, self._apart)):
            chosen = sorted(places)
            for at, tokens in zip(chosen, tokenize([texts[at] for at in chosen]) if chosen else [], strict=True):
                found[at] = tokens
        return found

    def _plainly(self, texts: list[str], **options: bool) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(texts, add_special_tokens=False, **options)["input_ids"]
        return ids

    def _apart(self, texts: list[str]) -> list[list[int]]:
        """Texts in which control strings of the template stand beside those of rows."""
        if self._renamed is None:
            return [self._by_pieces(text) for text in texts]
        core, names = self._renamed

        def written(found: re.Match[str]) -> str:
            return self._literal(found[1]) if found[1] else names[found[0]]

        encoded = core.encode_batch([self._written.sub(written, text) for text in texts], add_special_tokens=False)
        return [list(one.ids) for one in encoded]

    def _by_pieces(self, text: str) -> list[int]:
        """For tokenizers that are not made of `tokenizers`: each escaped string is tokenized by itself."""
        tokens: list[int] = []
        pieces = re.split(f"{ESCAPE}(.)", text, flags=re.DOTALL)
        for written, code in zip(pieces[::2], [*pieces[1::2], None], strict=True):
            tokens += self._plainly([written])[0] if written else []
            tokens += self._plainly([self._literal(code)], split_special_tokens=True)[0] if code else []
        return tokens

    def _escaped(self, found: re.Match[str]) -> str:
        text = found.group()
        return ESCAPE + (ESCAPE if text == ESCAPE else chr(FIRST_CODE + self._codes[text]))

    def _literal(self, code: str) -> str:
        at = ord(code) - FIRST_CODE
        return self._controls[at] if 0 <= at < len(self._controls) else code

    @cached_property
    def _matches_normalized(self) -> bool:
        """Whether some control token is looked for in the normalized text, where odd spellings of it look alike."""
        return any(token.normalized and token.content in self._codes for token in _added_tokens(self._tokenizer))

    @cached_property
    def _renamed(self) -> tuple[Any, dict[str, str]] | None:
        """A copy of the tokenizer with secret names for its control tokens, and these names."""
        from tokenizers import Tokenizer  # transformers has loaded it

        core = getattr(self._tokenizer, "backend_tokenizer", None)
        if core is None:
            return None
        body = json.loads(core.to_str())
        secret = secrets.token_hex(8)
        names = {text: f"\U00100000{secret}:{at}\U00100001" for at, text in enumerate(self._controls)}
        for token in body["added_tokens"]:
            if token["content"] in names:
                token.update(content=names[token["content"]], normalized=False)
        body["model"]["vocab"] = _renamed_vocabulary(body["model"]["vocab"], names)
        if body["model"].get("unk_token") in names:
            body["model"]["unk_token"] = names[body["model"]["unk_token"]]
        body.update(post_processor=None, truncation=None, padding=None)
        return Tokenizer.from_str(json.dumps(body)), names


def control_strings(tokenizer: Any) -> set[str]:  # noqa: ANN401 - a transformers tokenizer
    """The strings that the tokenizer reads as control tokens.

    These are its special tokens, and of its other added tokens those that the chat template writes around the turns of
    a plain chat. Tags of reasoning and of tool calls are not among the latter: they are what answers are made of.
    """
    added = {token.content: token.special for token in _added_tokens(tokenizer)}
    controls = {text for text, is_special in added.items() if is_special}
    controls |= set(getattr(tokenizer, "all_special_tokens", ()))
    rendered = _rendered_probe(tokenizer)
    controls |= {text for text in added if text in rendered and not REASONING_TAGS.fullmatch(text)}
    return {text for text in controls if text.strip()}


def _added_tokens(tokenizer: Any) -> list[Any]:  # noqa: ANN401 - a transformers tokenizer
    """The tokens beside the model's own vocabulary; a tokenizer of another library need not have any."""
    return list(getattr(tokenizer, "added_tokens_decoder", {}).values())


def _rendered_probe(tokenizer: Any) -> str:  # noqa: ANN401 - a transformers tokenizer
    if not tokenizer.chat_template:
        return ""
    for messages in (PROBE, PROBE[1:], PROBE[1:2]):
        try:
            return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except TemplateError:
            continue
    return ""


def _renamed_vocabulary(vocabulary: Any, names: dict[str, str]) -> Any:  # noqa: ANN401 - tokenizer.json's own forms
    """A model's vocabulary, {piece: id} or [[piece, score], ...], with the control tokens under their new names."""
    if isinstance(vocabulary, dict):
        return {names.get(piece, piece): number for piece, number in vocabulary.items()}
    return [[names.get(piece, piece), score] for piece, score in vocabulary]
