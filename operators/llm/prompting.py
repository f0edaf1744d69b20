"""Prompts as package data: loads the templates of an operator and renders chat messages from them.

A prompt is a jinja2 template with a block per role: `system`, and `user`, which is rendered once per few-shot and once
for the row. Row text enters as the value of a variable and is never compiled, so it cannot alter a template; strings in
it that a tokenizer may take for control tokens are escaped, so it cannot alter the chat (see control_tokens.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import jinja2
from pydantic import BaseModel, ConfigDict, Field

from operators.llm.templates import prompt_environment
from operators.replies.control_tokens import escape_control_tokens

LANGUAGES = ("en", "zh")
SHARED_TEMPLATES = ("domain", "history")

TemplateValue = str | bool | Sequence[Mapping[str, str]] | None
"""What a template variable may hold: text, a switch, or the turns of a conversation."""


class Decoding(BaseModel):
    """How replies are decoded. A reply gets as many tokens as it needs, and never more than `max_tokens`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    """How freely tokens are drawn; 0 takes the likeliest."""
    max_tokens: int = Field(default=1024, ge=1)
    """The longest reply in tokens, without the reasoning before it."""
    reasoning_tokens: int = Field(default=0, ge=0)
    """How many tokens are added to `max_tokens` for models that reason before they reply."""

    def budget(self, text: str, *, growth: float) -> int:
        """Tokens for a reply that may be `growth` times as long as a text; two bytes a token is generous."""
        wanted = 64 + int(len(text.encode()) / 2 * growth)
        return min(self.max_tokens, wanted) + self.reasoning_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One operator's prompt in one language and domain."""

    name: str
    language: str
    domain: str

    def system(self) -> str:
        """The system message."""
        return self._render("system", {})

    def user(self, fields: Mapping[str, TemplateValue]) -> str:
        """The user message about one row or one few-shot."""
        return self._render("user", {name: _escaped(value) for name, value in fields.items()})

    def instruction(self) -> str:
        """All that the prompt itself says, without any row."""
        with_history = {**_EMPTY_FIELDS, "history": _EMPTY_TURNS}
        return f"{self.system()}\n{self.user(_EMPTY_FIELDS)}\n{self.user(with_history)}"

    def messages(
        self, fields: Mapping[str, TemplateValue], *, examples: Sequence[tuple[Mapping[str, TemplateValue], str]] = ()
    ) -> tuple[tuple[str, str], ...]:
        """The chat as (role, content): the system message, each example as two turns, the row."""
        turns: list[tuple[str, str]] = [("system", self.system())]
        for example, reply in examples:
            turns += [("user", self.user(example)), ("assistant", escape_control_tokens(reply))]
        return (*turns, ("user", self.user(fields)))

    def _render(self, block: str, fields: Mapping[str, TemplateValue]) -> str:
        template = _environment().get_template(f"{self.name}.{self.language}.jinja")
        context = template.new_context({**_EMPTY_FIELDS, **fields, "domain": self.domain})
        return "".join(template.blocks[block](context)).strip()


def template_texts(name: str) -> tuple[str, ...]:
    """The sources of all templates that a prompt uses, in every language; they belong in a fingerprint."""
    names = [f"{part}.{language}.jinja" for part in (name, *SHARED_TEMPLATES) for language in LANGUAGES]
    return tuple(_read_template(file) for file in names)


def fields_json(fields: Mapping[str, str]) -> str:
    """Fields of a pair as the models see them and write them."""
    return json.dumps(dict(fields), ensure_ascii=False)


def pair_json(question: str, answer: str) -> str:
    """A question-answer pair as the models see it and write it."""
    return fields_json({"question": question, "answer": answer})


def recent_turns(turns: Sequence[Mapping[str, str]], *, max_chars: int) -> tuple[Mapping[str, str], ...]:
    """The last turns of a conversation that together have at most `max_chars` characters."""
    kept: list[Mapping[str, str]] = []
    for turn in reversed(turns):
        max_chars -= len(turn["content"])
        if max_chars < 0:
            break
        kept.append(turn)
    return tuple(reversed(kept))


def _escaped(value: TemplateValue) -> TemplateValue:
    if isinstance(value, str):
        return escape_control_tokens(value)
    if value is None or isinstance(value, bool):
        return value
    return [{**turn, "content": escape_control_tokens(turn["content"])} for turn in value]


_EMPTY_TURNS: Sequence[Mapping[str, str]] = ({"role": "", "content": ""},)
_EMPTY_FIELDS: Mapping[str, TemplateValue] = {
    **dict.fromkeys(("question", "answer", "pair", "given", "first", "second"), ""),
    "history": (),
}


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return prompt_environment(jinja2.FunctionLoader(_read_template))


def _read_template(file: str) -> str:
    return files("operators.llm").joinpath("prompts", file).read_text(encoding="utf-8")
