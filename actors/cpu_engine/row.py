"""One row of a decoding batch: how its next token is chosen, when it ends, and its text so far.

A row's choices depend on its own prompt, seed and parameters alone; knows nothing of its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import xgrammar
from transformers import PreTrainedTokenizerBase

MIN_TEMPERATURE = 1e-4
"""Below, the likeliest token is taken: the division would overflow."""
UNFINISHED_CHARACTER = "\ufffd"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One chat to complete."""

    messages: tuple[tuple[str, str], ...]
    max_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    json_schema: str | None = None
    template_options: tuple[tuple[str, object], ...] = ()
    """Further variables of the chat template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationReply:
    """The text without its stop string or end token; `completion_tokens` counts every token that was generated."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """What a guided reply may be made of."""

    grammar: xgrammar.CompiledGrammar
    banned: torch.Tensor | None = None
    """Token ids that are never right, whatever the grammar says."""


class ActiveRequest:
    """A request on its way: the prompt's tokens, the tokens generated, and what ends it."""

    def __init__(
        self,
        request: GenerationRequest,
        *,
        prompt: Sequence[int],
        max_tokens: int,
        tokenizer: PreTrainedTokenizerBase,
        end_tokens: frozenset[int],
        guide: Guide | None,
    ) -> None:
        self.prompt = tuple(prompt)
        self.finish_reason: str | None = None
        self.on_text: Callable[[str], None] | None = None
        """Called with each new piece of text that is certain to stay."""
        self._request = request
        self._max_tokens = max_tokens
        self._tokenizer = tokenizer
        self._end_tokens = end_tokens
        self._guide = guide
        self._matcher = None if guide is None else xgrammar.GrammarMatcher(guide.grammar)
        self._generator = torch.Generator().manual_seed(request.seed % 2**63)
        self._tokens: list[int] = []
        self._text = ""
        self._sent = 0

    def take(self, logits: torch.Tensor) -> None:
        """Chooses the next token from logits [V] and takes it in."""
        token = self._choose(logits)
        self._tokens.append(token)
        if self._matcher is not None:
            self._matcher.accept_token(token)
        self._update(ended=token in self._end_tokens)

    @property
    def last_token(self) -> int:
        """The token that was chosen last."""
        return self._tokens[-1]

    def cancel(self) -> None:
        """Lets the row leave its batch at the next step: nobody waits for it."""
        self.finish_reason = "cancelled"

    def reply(self) -> GenerationReply:
        """The finished reply."""
        if self.finish_reason is None:
            raise ValueError("the row is still being generated")
        return GenerationReply(
            text=self._text,
            finish_reason=self.finish_reason,
            prompt_tokens=len(self.prompt),
            completion_tokens=len(self._tokens),
        )

    def _choose(self, logits: torch.Tensor) -> int:
        logits = logits.float()
        if self._matcher is not None:
            logits = self._allowed(logits)
        if self._request.temperature < MIN_TEMPERATURE:
            return int(logits.argmax())
        logits = logits.cpu() / self._request.temperature
        if self._request.top_p < 1.0:
            logits = keep_nucleus(logits, self._request.top_p)
        return draw(logits, self._generator)

    def _allowed(self, logits: torch.Tensor) -> torch.Tensor:
        assert self._matcher is not None
        assert self._guide is not None
        mask = xgrammar.allocate_token_bitmask(1, logits.shape[0])
        self._matcher.fill_next_token_bitmask(mask, 0)
        masked = logits.clone().unsqueeze(0)
        xgrammar.apply_token_bitmask_inplace(masked, mask.to(logits.device))
        if self._guide.banned is not None:
            masked[:, self._guide.banned.to(logits.device)] = float("-inf")
        return masked.squeeze(0)

    def _update(self, *, ended: bool) -> None:
        is_full = len(self._tokens) >= self._max_tokens
        if not (ended or is_full or self._request.stop or self.on_text):
            return
        body = [token for token in self._tokens if token not in self._end_tokens]
        self._text = self._tokenizer.decode(body, skip_special_tokens=True)
        cut = first_stop(self._text, self._request.stop)
        if cut is not None:
            self._text = self._text[:cut]
        if ended or cut is not None:
            self.finish_reason = "stop"
        elif is_full:
            self.finish_reason = "length"
        self._send()

    def _send(self) -> None:
        if self.on_text is None:
            return
        certain = len(self._text) if self.finish_reason else certain_length(self._text, self._request.stop)
        if certain > self._sent:
            self.on_text(self._text[self._sent : certain])
            self._sent = certain


def draw(logits: torch.Tensor, generator: torch.Generator) -> int:
    """A token drawn from softmax(logits [V]): the largest of logits plus Gumbel noise.

    The noise of a token depends on the generator and the token alone. Where arithmetic changes a logit in its last
    bits, as another batch does in bfloat16, the draw mostly stays; a draw by cumulative probability would not.

    Source: Maddison, Tarlow and Minka, A* Sampling (2014), equation 2.
    """
    noise = torch.empty_like(logits, dtype=torch.float32).exponential_(generator=generator)
    return int((logits - noise.log()).argmax())


def keep_nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Logits [V] with all but the smallest set of tokens that holds `top_p` of the probability set to -inf."""
    order = logits.argsort(descending=True)
    probabilities = logits[order].softmax(0)
    outside = probabilities.cumsum(0) - probabilities >= top_p
    return logits.index_fill(0, order[outside], float("-inf"))


def first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the earliest stop string begins, or None."""
    found = [position for position in (text.find(item) for item in stop) if position >= 0]
    return min(found, default=None)


def certain_length(text: str, stop: Sequence[str]) -> int:
    """How much of a growing text is certain to stay: not half a character, not the start of a stop string."""
    end = len(text.rstrip(UNFINISHED_CHARACTER))
    held = max(
        (size for item in stop for size in range(1, len(item)) if text[:end].endswith(item[:size])),
        default=0,
    )
    return end - held
