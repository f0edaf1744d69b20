"""Puts a LoRA adapter's weights into its base model, in a worker: the driver loads no model."""

from __future__ import annotations

from typing import Literal

import ray


def merge_adapter(base: str, adapter: str, target: str, *, precision: Literal["fp32", "bf16"]) -> None:
    """Write the merged model and the tokenizer into the folder `target`, as one Ray task of one CPU.

    All three are folders that the worker sees.
    """
    task = ray.remote(num_cpus=1)(_merge)
    ray.get(task.remote(base, adapter, target, precision))


def _merge(base: str, adapter: str, target: str, precision: Literal["fp32", "bf16"]) -> None:
    import peft
    import torch
    import transformers

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    merged = peft.PeftModel.from_pretrained(model, adapter).merge_and_unload()
    merged.save_pretrained(target)
    transformers.AutoTokenizer.from_pretrained(adapter).save_pretrained(target)
