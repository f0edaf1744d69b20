"""Puts a LoRA adapter's weights into its base model, in a worker: the driver loads no model."""

from __future__ import annotations

import ray

from actors.models.source import ResolvedModel
from actors.storage.storage import Storage


def merge_adapter(base: ResolvedModel, adapter: str, target: str, *, is_bf16: bool) -> None:
    """Write the merged model and the tokenizer into the folder `target`, as one Ray task of one CPU.

    Both folders are URIs, or paths that the worker sees.
    """
    task = ray.remote(num_cpus=1)(_merge)
    ray.get(task.remote(base, adapter, target, is_bf16))


def _merge(base: ResolvedModel, adapter: str, target: str, is_bf16: bool) -> None:
    import peft
    import torch
    import transformers

    dtype = torch.bfloat16 if is_bf16 else torch.float32
    model = transformers.AutoModelForCausalLM.from_pretrained(base.path, dtype=dtype)
    with Storage.at(adapter).readable() as trained, Storage.at(target).writable() as folder:
        merged = peft.PeftModel.from_pretrained(model, trained).merge_and_unload()
        merged.save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(trained).save_pretrained(folder)
