"""The rows that a model decodes together: they join and leave between two steps.

Each step feeds one token per row. Columns are padded on the left or, after a shared beginning, in between; positions
follow the mask, so a row's result does not depend on where its padding lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache, PreTrainedModel

from actors.cpu_engine.kv import KeyValues, content_of, make_cache, repeat_rows, select_rows, stack_rows
from actors.cpu_engine.prefix import MIN_SHARED, PrefixCache, Tokens, group_by_beginning, shared_length
from actors.cpu_engine.row import ActiveRequest

PREFILL_TOKENS = 2048
"""At most this many padded prompt tokens pass through the model at once."""


class DecodingBatch:
    """Rows with their keys and values; `admit` and `step` give back the rows that are finished."""

    def __init__(self, model: PreTrainedModel, *, prefixes: PrefixCache) -> None:
        self._model = model
        self._prefixes = prefixes
        self._rows: list[ActiveRequest] = []
        self._cache = self._empty_cache()
        self._mask = torch.zeros((0, 0), dtype=torch.long, device=model.device)

    def __len__(self) -> int:
        return len(self._rows)

    @torch.inference_mode()
    def admit(self, rows: Sequence[ActiveRequest]) -> list[ActiveRequest]:
        """Runs the prompts, chooses each row's first token and takes the rows in."""
        for group in group_by_beginning([row.prompt for row in rows], known=self._prefixes):
            members = sorted((rows[index] for index in group), key=lambda row: len(row.prompt))
            length, beginning = self._beginning([row.prompt for row in members])
            for chunk in _chunks(members, skipped=length):
                self._prefill(chunk, length=length, beginning=beginning)
        return self._release()

    @torch.inference_mode()
    def step(self) -> list[ActiveRequest]:
        """One more token for every row."""
        self._mask = torch.nn.functional.pad(self._mask, (0, 1), value=1)
        tokens = torch.tensor([[row.last_token] for row in self._rows], device=self._model.device)
        logits = self._run(tokens, mask=self._mask, cache=self._cache)
        for row, row_logits in zip(self._rows, logits, strict=True):
            row.take(row_logits)
        return self._release()

    def _beginning(self, prompts: Sequence[Tokens]) -> tuple[int, KeyValues | None]:
        """Length and content of what is computed already, or is now, for the common beginning of these prompts."""
        shared = prompts[0][: shared_length(prompts)]
        length, content = self._prefixes.longest(shared)
        if len(prompts) == 1 or len(shared) - length < MIN_SHARED:
            return length, content
        cache = self._empty_cache() if content is None else make_cache(content)
        tokens = torch.tensor([shared[length:]], device=self._model.device)
        mask = torch.ones((1, len(shared)), dtype=torch.long, device=self._model.device)
        self._run(tokens, mask=mask, cache=cache)
        self._prefixes.put(shared, content_of(cache))
        return len(shared), content_of(cache)

    def _prefill(self, rows: list[ActiveRequest], *, length: int, beginning: KeyValues | None) -> None:
        """Runs what follows the beginning in each prompt and joins the rows to the batch."""
        rests = [row.prompt[length:] for row in rows]
        width = max(map(len, rests))
        tokens = torch.tensor([(0,) * (width - len(rest)) + rest for rest in rests], device=self._model.device)
        mask = torch.ones((len(rows), length + width), dtype=torch.long, device=self._model.device)
        for index, rest in enumerate(rests):
            mask[index, length : length + width - len(rest)] = 0
        cache = self._empty_cache() if beginning is None else make_cache(repeat_rows(beginning, len(rows)))
        logits = self._run(tokens, mask=mask, cache=cache)
        if len(rows) == 1:
            self._prefixes.put(rows[0].prompt, content_of(cache))
        self._join(rows, mask=mask, cache=cache)
        for row, row_logits in zip(rows, logits, strict=True):
            row.take(row_logits)

    def _run(self, tokens: torch.Tensor, *, mask: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
        """Logits [B, V] after the last of tokens [B, T]; mask [B, columns] covers the cache and the tokens."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        output = self._model(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _join(self, rows: list[ActiveRequest], *, mask: torch.Tensor, cache: DynamicCache) -> None:
        if not self._rows:
            self._rows, self._mask, self._cache = list(rows), mask, cache
            return
        width = max(self._mask.shape[1], mask.shape[1])
        self._mask = torch.cat(
            [torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in (self._mask, mask)]
        )
        self._cache = make_cache(stack_rows(content_of(self._cache), content_of(cache)))
        self._rows.extend(rows)

    def _release(self) -> list[ActiveRequest]:
        """Takes the finished rows out, and the columns that no other row needs."""
        finished = [row for row in self._rows if row.finish_reason is not None]
        if not finished:
            return []
        left = [index for index, row in enumerate(self._rows) if row.finish_reason is None]
        self._rows = [self._rows[index] for index in left]
        if not left:
            self._cache = self._empty_cache()
            return finished
        mask = self._mask[left]
        first_column = int(mask.any(0).int().argmax())
        self._mask = mask[:, first_column:]
        self._cache = make_cache(select_rows(content_of(self._cache), left, first_column=first_column))
        return finished

    def _empty_cache(self) -> DynamicCache:
        return make_cache(num_layers=int(self._model.config.num_hidden_layers))


def _chunks(rows: Sequence[ActiveRequest], *, skipped: int) -> Iterator[list[ActiveRequest]]:
    """Rows, sorted by length, in chunks of at most PREFILL_TOKENS padded tokens (always at least one row)."""
    chunk: list[ActiveRequest] = []
    for row in rows:
        if chunk and (len(chunk) + 1) * (len(row.prompt) - skipped) > PREFILL_TOKENS:
            yield chunk
            chunk = []
        chunk.append(row)
    yield chunk
