"""Fine-tunes and evaluates in one call, on one rank or as one of several.

Runs transformers' Trainer inside a Ray Train worker, or in the calling process. Knows no queue and no Ray.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
import transformers
from transformers.trainer_callback import PrinterCallback, TrainerCallback, TrainerControl, TrainerState

from actors.storage.scratch import scratch_folder
from actors.storage.storage import Storage
from actors.training.answers import answer
from actors.training.args import training_arguments
from actors.training.chat_rows import ChatEncoder, EncodedRows
from actors.training.checkpoints import Checkpoints
from actors.training.evaluation_loss import evaluate
from actors.training.job import Advance, ItemLosses, OnAdvance, TrainJob, TrainOutcome, read_rows, unseen
from actors.training.micro_batches import MicroBatch, micro_batches
from actors.training.packed_batch import token_nll
from actors.training.recipe import TrainingRecipe
from actors.training.tuned_model import Trainable, TunedModel
from operators.contract.errors import DivergedError, RunError


def run_job(job: TrainJob) -> TrainOutcome:
    """One training in this process."""
    return FineTuner().run(job)


class FineTuner:
    """Runs trainings one after the other and keeps the model loaded between them."""

    def __init__(self) -> None:
        self._loaded: tuple[tuple[object, ...], TunedModel] | None = None

    def run(self, job: TrainJob, on_advance: OnAdvance = unseen) -> TrainOutcome:
        """Equal rows, recipe and seed give an equal outcome, whatever ran before.

        Raises:
            RunError: nothing to train on.
            DivergedError: a loss is no number.
        """
        clock = PhaseSeconds()
        with scratch_folder() as scratch:
            checkpoints = Checkpoints(job.checkpoint_folder, scratch=str(scratch)) if job.checkpoint_folder else None
            arguments = training_arguments(job, folder=str(scratch) if checkpoints is None else checkpoints.written_to)
            with clock.phase("load"):
                tuned = self._model(job)
            with clock.phase("encode"):
                encoder = ChatEncoder(tuned.tokenizer, max_length=job.recipe.max_length)
                held_out = {name: encoder.encode(read_rows(rows)) for name, rows in job.evaluation.items()}
                learner = ChatEncoder(tuned.tokenizer, max_length=job.recipe.max_length, loss_on=job.recipe.loss_on)
                rows = EncodedRows(examples=()) if job.train is None else learner.encode(read_rows(job.train))
            if job.train is None:
                trainable = tuned.as_it_is()
                with clock.phase("evaluate"):
                    scored = _losses(trainable.model, trainable, held_out, on_advance)
                answers = _answers(job, trainable, tuned.tokenizer, held_out, clock, on_advance)
                return _outcome(rows, losses=(), evaluation=scored, answers=answers, clock=clock)
            if not rows.examples:
                raise RunError(f"no complete row to train on; left out: {dict(rows.left_out)}")
            num_tokens = sum(len(one.tokens) for part in (rows, *held_out.values()) for one in part.examples)
            whole = checkpoints is not None
            with tuned.trainable(job.recipe, seed=job.seed, num_tokens=num_tokens, whole=whole) as trainable:
                batches = micro_batches(rows.examples, recipe=job.recipe, seed=job.seed, world_size=world_size())
                with clock.phase("train"):
                    trainer = AnswerTrainer.over(trainable, batches, arguments=arguments, whole=whole)
                    losses = trainer.fit(job.recipe, checkpoints, on_advance)
                with clock.phase("evaluate"):
                    model = trainer.model_wrapped if job.recipe.deepspeed == "zero3" else trainer.model
                    scored = _losses(model, trainable, held_out, on_advance)
                answers = _answers(job, trainable, tuned.tokenizer, held_out, clock, on_advance)
                with clock.phase("export"):
                    trainer.export(job, trainable, tuned.tokenizer)
        return _outcome(rows, losses=losses, evaluation=scored, answers=answers, clock=clock)

    def _model(self, job: TrainJob) -> TunedModel:
        recipe = job.recipe
        key = (job.model, recipe.method, recipe.precision, recipe.deepspeed, recipe.num_gpus_per_worker > 0)
        if self._loaded is not None and self._loaded[0] != key:
            self._loaded = None  # frees the old weights before the new ones come
        tuned = TunedModel(job.model.path, recipe) if self._loaded is None else self._loaded[1]
        if not job.remembers:
            tuned.forget_rows()
        changes_weights = recipe.method == "full" and job.train is not None
        self._loaded = None if changes_weights else (key, tuned)
        return tuned


class AnswerTrainer(transformers.Trainer):  # type: ignore[misc] # transformers has no types here
    """transformers' Trainer with the loss on answer tokens, averaged over the whole optimizer step."""

    loss_is_scaled_for_ga = True
    micro: Sequence[MicroBatch]
    trainable: Trainable

    @classmethod
    def over(
        cls,
        trainable: Trainable,
        micro: Sequence[MicroBatch],
        *,
        arguments: transformers.TrainingArguments,
        whole: bool,
    ) -> AnswerTrainer:
        """A trainer over laid-out micro-batches; `whole` trains the model that is checkpointed."""
        trainer = cls(model=trainable.whole if whole else trainable.model, args=arguments, train_dataset=list(micro))
        trainer.remove_callback(PrinterCallback)
        trainer.micro, trainer.trainable = micro, trainable
        return trainer

    def get_train_dataloader(self) -> Any:  # noqa: ANN401 - what accelerate makes of a DataLoader
        """Micro-batches in their order, dealt out to the ranks in turn."""
        items: Any = list(self.micro)  # a list is a map-style dataset to torch, but not to its types
        loader: Any = torch.utils.data.DataLoader(items, batch_size=1, collate_fn=self._collate, shuffle=False)
        return self.accelerator.prepare(loader)

    def _collate(self, batches: Sequence[MicroBatch]) -> dict[str, Any]:
        (micro,) = batches
        batch = self.trainable.batch(micro.examples)
        return {**batch.inputs, "answer_labels": batch.labels, "step_tokens": micro.step_tokens}

    def compute_loss(
        self,
        model: Any,  # noqa: ANN401 - any decoder, wrapped or not
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: object = None,
    ) -> torch.Tensor:
        """This micro-batch's share of the step's mean token NLL; ranks are averaged, hence times their number."""
        labels, step_tokens = inputs.pop("answer_labels"), inputs.pop("step_tokens")
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
        loss: torch.Tensor = token_nll(logits, labels).sum() * (world_size() / step_tokens)
        return loss

    def fit(
        self, recipe: TrainingRecipe, checkpoints: Checkpoints | None = None, on_advance: OnAdvance = unseen
    ) -> tuple[float, ...]:
        """Trains, from the last checkpoint if there is one; the loss of each step.

        Raises:
            DivergedError: a loss is no number.
        """
        self.add_callback(_Steps(on_advance))
        if checkpoints is not None:
            self.add_callback(checkpoints)
        with nullcontext() if checkpoints is None else checkpoints.last() as last:
            self.train(resume_from_checkpoint=last)
        losses = tuple(float(entry["loss"]) for entry in self.state.log_history if "loss" in entry)
        if not all(math.isfinite(loss) for loss in losses):
            rate = recipe.learning_rate
            raise DivergedError(
                f"the training diverged: its loss is no number; learning_rate is {rate}, try a lower one"
            )
        return losses

    def export(self, job: TrainJob, trainable: Trainable, tokenizer: Any) -> None:  # noqa: ANN401
        """The adapter, or the whole model, with the tokenizer, into the job's folder."""
        if job.export_folder is None:
            return
        writable = Storage.at(job.export_folder).writable() if self.is_world_process_zero() else nullcontext("")
        with writable as folder:
            if job.recipe.deepspeed == "zero3":
                self.save_model(folder)  # gathers, so every rank takes part; rank 0 writes
            elif self.is_world_process_zero():
                trainable.whole.save_pretrained(folder)
            if self.is_world_process_zero():
                tokenizer.save_pretrained(folder)


class _Steps(TrainerCallback):  # type: ignore[misc] # transformers has no types here
    """Says how many optimizer steps are done."""

    def __init__(self, on_advance: OnAdvance) -> None:
        self._on_advance = on_advance

    def on_step_end(
        self, args: transformers.TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: object
    ) -> None:
        self._on_advance(Advance(done=state.global_step, total=state.max_steps, unit="steps"))


def world_size() -> int:
    """Ranks that train together; 1 outside a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class PhaseSeconds:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start


def _losses(
    model: Any,  # noqa: ANN401 - any decoder
    trainable: Trainable,
    held_out: Mapping[str, EncodedRows],
    on_advance: OnAdvance,
) -> Mapping[str, ItemLosses]:
    return {name: evaluate(model, trainable, part, on_advance) for name, part in held_out.items()}


def _answers(
    job: TrainJob,
    trainable: Trainable,
    tokenizer: Any,  # noqa: ANN401 - a transformers tokenizer
    held_out: Mapping[str, EncodedRows],
    clock: PhaseSeconds,
    on_advance: OnAdvance,
) -> Mapping[str, tuple[str, ...]]:
    max_tokens = job.max_answer_tokens
    if max_tokens is None:
        return {}
    model = trainable.whole
    with clock.phase("answer"):
        return {
            name: answer(model, tokenizer, part, max_tokens=max_tokens, on_advance=on_advance)
            for name, part in held_out.items()
        }


def _outcome(
    rows: EncodedRows,
    *,
    losses: tuple[float, ...],
    evaluation: Mapping[str, ItemLosses],
    answers: Mapping[str, tuple[str, ...]],
    clock: PhaseSeconds,
) -> TrainOutcome:
    return TrainOutcome(
        evaluation=evaluation,
        answers=answers,
        num_rows=len(rows.examples),
        num_steps=len(losses),
        left_out=rows.left_out,
        num_truncated=rows.num_truncated,
        train_losses=losses,
        seconds=clock.seconds,
    )
