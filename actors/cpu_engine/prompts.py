"""Messages as the tokens of a prompt, in the form that the model's chat template takes.

Knows a tokenizer and no weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from actors.models.chat_forms import chat_of, forms_of, is_said
from actors.models.chat_tokens import ChatTokens


class PromptTooLongError(ValueError):
    """The prompt alone fills the model's context."""

    def __init__(self, size: str, limit: int) -> None:
        super().__init__(size, limit)

    def __str__(self) -> str:
        size, limit = self.args
        return f"the prompt {size}; this model's maximum context length is {limit} tokens with the reply"


class Prompts:
    """Prompts of one tokenizer. No text of a message is read as a control token."""

    def __init__(self, tokenizer: Any, *, max_tokens: int) -> None:  # noqa: ANN401 - a transformers tokenizer
        self._tokenizer = tokenizer
        self._chat = ChatTokens(tokenizer)
        self._max_tokens = max_tokens
        self._max_chars = max_tokens * max(map(len, tokenizer.get_vocab()))
        """No text of more characters has so few tokens."""

    def tokens(self, messages: Sequence[tuple[str, str]], options: Mapping[str, object]) -> list[int]:
        """The prompt that asks for the reply; `options` are further variables of the template.

        Raises:
            ValueError: no form of the messages pleases the template, or they are too long (PromptTooLongError).
        """
        num_chars = sum(len(content) for _, content in messages)
        if num_chars > self._max_chars:
            raise PromptTooLongError(f"has {num_chars} characters", self._max_tokens)
        escaped = [{"role": role, "content": self._chat.escape(content)} for role, content in messages]
        refused = ""
        for form in forms_of(chat_of(escaped)):
            try:
                text = self._tokenizer.apply_chat_template(
                    list(form.messages), add_generation_prompt=True, tokenize=False, **options
                )
            except TemplateError as error:
                refused = type(error).__name__
                continue
            if is_said(form, text):
                return self._chat.tokenize([text])[0]
        raise ValueError(f"messages: the model's chat template takes them in no form ({refused or 'some go unsaid'})")
