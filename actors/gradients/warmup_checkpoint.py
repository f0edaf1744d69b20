"""A state of the adapters during the warm-up, with Adam's moments: what gradients are taken at and scaled by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import safetensors.torch
import torch

from actors.gradients.warmup_manifest import (
    CheckpointEntry,
    WarmupManifest,
    read_checkpoint,
    read_manifest,
    write_manifest,
)
from actors.storage.storage import Storage
from operators.contract.errors import RunError

BETAS = (0.9, 0.999)
EPS = 1e-8
_WEIGHT, _MEAN, _SQUARE = "weight/", "exp_avg/", "exp_avg_sq/"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdamState:
    """Adam's running means of one weight's gradients and of their squares."""

    exp_avg: torch.Tensor
    exp_avg_sq: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmupCheckpoint:
    """Trained weights and Adam states by parameter name, after `step` optimizer steps.

    `learning_rate` is the mean over the steps since the checkpoint before.
    """

    weights: Mapping[str, torch.Tensor]
    states: Mapping[str, AdamState]
    learning_rate: float
    step: int


def adam_update(gradients: torch.Tensor, state: AdamState, *, step: int, momentum: bool) -> torch.Tensor:
    """The update that Adam would make for each gradient alone, without its learning rate; [N, ...] -> [N, ...].

    Both moments have this gradient folded in and their bias corrected. Without `momentum` the numerator is the gradient
    alone: the running mean is the same for all rows, so it tells none from another, and it drowns those whose own
    gradients are small. Source: LESS (arXiv 2402.04333), section 3.1, which has `momentum`.
    """
    decay, square_decay = BETAS
    square = gradients.square().mul_(1 - square_decay).add_(state.exp_avg_sq * square_decay)
    root = square.sqrt_().div_((1 - square_decay ** (step + 1)) ** 0.5).add_(EPS)
    if not momentum:
        return gradients / root
    mean = (gradients * (1 - decay)).add_(state.exp_avg * decay)
    return mean.div_(root).div_(1 - decay ** (step + 1))


def save_checkpoints(folder: Storage, checkpoints: Sequence[WarmupCheckpoint], *, num_rows: int) -> WarmupManifest:
    """Writes every checkpoint as safetensors, and the manifest last."""
    entries = []
    for number, one in enumerate(checkpoints):
        tensors = {_WEIGHT + name: weight for name, weight in one.weights.items()}
        tensors |= {_MEAN + name: state.exp_avg for name, state in one.states.items()}
        tensors |= {_SQUARE + name: state.exp_avg_sq for name, state in one.states.items()}
        data = safetensors.torch.save(tensors)
        file = f"checkpoint-{number}.safetensors"
        folder.write_bytes(file, data)
        checksum = hashlib.sha256(data).hexdigest()
        entries.append(CheckpointEntry(file=file, learning_rate=one.learning_rate, step=one.step, checksum=checksum))
    manifest = WarmupManifest(checkpoints=tuple(entries), num_rows=num_rows)
    write_manifest(folder, manifest)
    return manifest


def load_checkpoints(folder: Storage) -> list[WarmupCheckpoint]:
    """All checkpoints of a finished warm-up, in the order of their steps.

    Raises:
        RunError: there is none, or a file is not the one that was written.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise RunError(f"no finished warm-up in {folder.uri()}")
    return [_load(folder, entry) for entry in manifest.checkpoints]


def _load(folder: Storage, entry: CheckpointEntry) -> WarmupCheckpoint:
    tensors = safetensors.torch.load(read_checkpoint(folder, entry).to_pybytes())
    names = [name.removeprefix(_WEIGHT) for name in tensors if name.startswith(_WEIGHT)]
    return WarmupCheckpoint(
        weights={name: tensors[_WEIGHT + name] for name in names},
        states={name: AdamState(exp_avg=tensors[_MEAN + name], exp_avg_sq=tensors[_SQUARE + name]) for name in names},
        learning_rate=entry.learning_rate,
        step=entry.step,
    )
