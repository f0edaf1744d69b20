"""A training recipe as transformers and DeepSpeed want it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import transformers

from actors.training.job import TrainJob

NUM_CHECKPOINTS_KEPT = 2
CHECKPOINTS_PER_TRAINING = 10


def training_arguments(job: TrainJob, *, folder: str) -> transformers.TrainingArguments:
    """Arguments of one training; `folder` is for what the trainer writes, which is checkpoints, if any.

    A step's micro-batches are laid out beforehand, one per item: hence a batch size of one, and as many accumulated
    items as a rank has micro-batches in a step.
    """
    recipe = job.recipe
    saves = job.checkpoint_folder is not None
    join_engine(job)
    return transformers.TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=num_accumulated(job),
        num_train_epochs=1,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(recipe.schedule, recipe.schedule),
        warmup_steps=recipe.warmup_frac,
        weight_decay=recipe.weight_decay,
        optim="adamw_torch",
        seed=job.seed,
        bf16=recipe.precision == "bf16",
        gradient_checkpointing=recipe.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if recipe.gradient_checkpointing else None,
        deepspeed=deepspeed_config(job),
        use_cpu=recipe.num_gpus_per_worker == 0 or not torch.cuda.is_available(),
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        save_strategy="steps" if saves else "no",
        save_steps=1 / CHECKPOINTS_PER_TRAINING,
        save_total_limit=NUM_CHECKPOINTS_KEPT,
        logging_strategy="steps",
        logging_steps=1,
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
    )


def join_engine(job: TrainJob) -> None:
    """Tell DeepSpeed of the ranks' group before ZeRO-3 shards the loading model; on CPUs nobody else does."""
    if job.recipe.deepspeed is not None and dist.is_available() and dist.is_initialized():
        import deepspeed  # heavy, and part of no installation without GPUs

        deepspeed.init_distributed(auto_mpi_discovery=False)


def num_accumulated(job: TrainJob) -> int:
    """Micro-batches of one rank in one optimizer step."""
    recipe = job.recipe
    ranks = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    return -(-recipe.batch_size // (recipe.micro_batch_size * ranks))


def deepspeed_config(job: TrainJob) -> dict[str, Any] | None:
    """The engine's settings; what the recipe already says is filled in by transformers ("auto")."""
    if job.recipe.deepspeed is None:
        return None
    stage = {"zero2": 2, "zero3": 3}[job.recipe.deepspeed]
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": job.recipe.num_gpus_per_worker > 0}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
    }
