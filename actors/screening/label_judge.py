"""Scores complete rows with the causal LM backbone: how likely the model makes the label "needs work".

Fine-tuning teaches the model to answer a prompt about a row with one of two label texts. A score is the likelihood of
one label against the other. Source: LLM-AutoDP, section 3.3.1 and equation 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pyarrow as pa
import torch
import transformers

from actors.models.device import device
from actors.screening.encoder_head import Floats, sigmoid
from actors.screening.label_prompt import LABELS, labelled_records
from actors.screening.manifest import ADAPTER, MODEL, ScreenerManifest
from actors.training.chat_rows import ChatEncoder, Example
from operators.contract.resources import Language

BATCH_TOKENS = 4096
"""Most tokens of one forward pass, padding included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelJudge:
    """A loaded model and what it is asked."""

    model: Any
    tokenizer: Any
    language: Language
    domain: str
    max_length: int

    @classmethod
    def load(cls, folder: Path, manifest: ScreenerManifest, *, base: str) -> LabelJudge:
        """The judge in a screener's folder; `base` is the folder of the model under an adapter."""
        own = folder / (MODEL if (folder / MODEL).is_dir() else ADAPTER)
        dtype = torch.bfloat16 if manifest.precision == "bf16" else torch.float32
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(own if own.name == MODEL else base, dtype=dtype)
        if own.name == ADAPTER:
            model = peft.PeftModel.from_pretrained(model, own).merge_and_unload()
        return cls(
            model=model.to(device()).eval(),
            tokenizer=transformers.AutoTokenizer.from_pretrained(own),
            language=manifest.language,
            domain=manifest.domain,
            max_length=manifest.max_length,
        )

    def scores(self, table: pa.Table) -> Floats:
        """Likelihood of the label "needs work" against the other one [N], uncalibrated."""
        likelihoods = [self._label_likelihoods(table, label) for label in LABELS[self.language]]
        return sigmoid(likelihoods[1] - likelihoods[0])

    def _label_likelihoods(self, table: pa.Table, label: str) -> Floats:
        """Log-likelihood of a label's tokens after the prompt of each row [N], in nats."""
        asked = labelled_records(table, [label] * table.num_rows, language=self.language, domain=self.domain)
        encoded = ChatEncoder(self.tokenizer, max_length=self.max_length).encode(asked)
        assert len(encoded.examples) == table.num_rows, "a prompt about a row is never empty"
        found = np.zeros(table.num_rows, dtype=np.float64)
        for places in _batches(encoded.examples):
            found[places] = self._forward([encoded.examples[place] for place in places])
        return found

    @torch.inference_mode()
    def _forward(self, examples: Sequence[Example]) -> Floats:
        """Padded on the left: the label ends every row, and only its logits are made."""
        longest = max(len(one.tokens) for one in examples)
        num_label = max(one.num_answer for one in examples)
        tokens = torch.zeros(len(examples), longest, dtype=torch.long)
        mask = torch.zeros(len(examples), longest, dtype=torch.long)
        for row, one in enumerate(examples):
            tokens[row, -len(one.tokens) :] = torch.tensor(one.tokens)
            mask[row, -len(one.tokens) :] = 1
        device = self.model.device
        logits = self.model(
            input_ids=tokens.to(device),
            attention_mask=mask.to(device),
            position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0).to(device),
            logits_to_keep=num_label + 1,
            use_cache=False,
        ).logits
        chances = logits[:, :-1].float().log_softmax(dim=-1).cpu()
        found = np.zeros(len(examples), dtype=np.float64)
        for row, one in enumerate(examples):
            label = tokens[row, -one.num_answer :]
            found[row] = float(chances[row, -one.num_answer :].gather(1, label[:, None]).sum())
        return found


def _batches(examples: Sequence[Example]) -> Iterator[list[int]]:
    """Places of examples of like length, as many as fit into a pass."""
    batch: list[int] = []
    for place in sorted(range(len(examples)), key=lambda at: len(examples[at].tokens)):
        if batch and (len(batch) + 1) * len(examples[place].tokens) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
