"""What a tuned model answers to held-out questions: greedy decoding, in batches of like length, shared by the ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import transformers

from actors.models.end_tokens import end_tokens
from actors.training.chat_rows import EncodedRows, Example
from actors.training.job import OnAdvance, unseen
from actors.training.rank_share import advancing, gathered, groups, share_of_rank

BATCH_TOKENS = 16384
"""Prompts and answers of one batch at most; the attention cache of a 7B model takes some 60 KiB for each."""


@torch.no_grad()
def answer(
    model: Any,  # noqa: ANN401 - any decoder
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    rows: EncodedRows,
    *,
    max_tokens: int,
    on_advance: OnAdvance = unseen,
) -> tuple[str, ...]:
    """The likeliest answers [N] to the rows' prompts, each of at most `max_tokens` tokens; all ranks get them all."""
    was_training = model.training
    model.eval()
    sizes = [example.num_prompt + max_tokens for example in rows.examples]
    mine: dict[int, str] = {}
    share = share_of_rank(groups(rows.examples, sizes, max_tokens=BATCH_TOKENS))
    for group in advancing(share, on_advance):
        texts = _generate(model, tokenizer, [rows.examples[at] for at in group], max_tokens=max_tokens)
        mine.update(zip(group, texts, strict=True))
    model.train(was_training)
    said = gathered(mine)
    return tuple(said[at] for at in range(len(rows.examples)))


def _generate(model: Any, tokenizer: Any, examples: Sequence[Example], *, max_tokens: int) -> list[str]:  # noqa: ANN401
    """Prompts are padded on the left, so that all answers begin at one place."""
    width = max(example.num_prompt for example in examples)
    own = getattr(model.generation_config, "eos_token_id", None)
    eos = sorted(end_tokens(own, tokenizer.eos_token_id))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos[0] if eos else 0
    tokens = torch.full((len(examples), width), pad, dtype=torch.long)
    seen = torch.zeros_like(tokens)
    for row, example in enumerate(examples):
        tokens[row, width - example.num_prompt :] = torch.tensor(example.tokens[: example.num_prompt])
        seen[row, width - example.num_prompt :] = 1
    device = next(model.parameters()).device
    greedy = transformers.GenerationConfig(
        max_new_tokens=max_tokens, do_sample=False, pad_token_id=pad, eos_token_id=eos or None
    )
    with _settings(model, greedy):
        made = model.generate(input_ids=tokens.to(device), attention_mask=seen.to(device), use_cache=True)
    return [text.strip() for text in tokenizer.batch_decode(made[:, width:], skip_special_tokens=True)]


@contextmanager
def _settings(model: Any, settings: transformers.GenerationConfig) -> Iterator[None]:  # noqa: ANN401
    """In place of the model's own, which `generate` falls back on: a repetition penalty would count the padding too."""
    parts = [model, model.get_base_model()] if hasattr(model, "get_base_model") else [model]
    own = [part.generation_config for part in parts]
    for part in parts:
        part.generation_config = settings
    try:
        yield
    finally:
        for part, before in zip(parts, own, strict=True):
            part.generation_config = before
