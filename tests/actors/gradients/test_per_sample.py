"""Per-sample gradients from hooks against a plain loop of autograd over single rows."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from actors.gradients.per_sample import GradientRecorder, WeightSpan
from actors.training.chat_rows import Example
from actors.training.packed_batch import PACK_TOKENS, pack, token_nll
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.tuned_model import Trainable, TunedModel
from operators.contract.errors import InputError

LENGTHS = ((12, 5), (30, 20), (7, 6), (45, 44), (9, 1), (30, 3))
"""(tokens, prompt tokens) of each row."""


@pytest.fixture(scope="module")
def tuned(tiny_model: Path) -> TunedModel:
    return TunedModel(str(tiny_model), TrainingRecipe())


@pytest.fixture
def trainable(tuned: TunedModel) -> Iterator[Trainable]:
    """The model with adapters on all linear layers, none of which is at its zero start."""
    with tuned.trainable(TrainingRecipe(), seed=3, num_tokens=0, whole=True) as made:
        _shake(made)
        yield made


def _shake(trainable: Trainable) -> None:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trainable.whole.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)


def _examples() -> list[Example]:
    return [
        Example(
            row_id=str(row), tokens=array("i", ((7 * at + 13 * row) % 390 + 3 for at in range(size))), num_prompt=prompt
        )
        for row, (size, prompt) in enumerate(LENGTHS)
    ]


def _by_hooks(trainable: Trainable, examples: Sequence[Example]) -> torch.Tensor:
    recorder = GradientRecorder(trainable)
    found = torch.full((len(examples), recorder.num_coordinates), torch.nan)

    def keep(span: WeightSpan, gradients: torch.Tensor) -> None:
        found[:, span.offset : span.offset + span.size] = gradients.flatten(1)

    recorder.record(examples, keep)
    return found


def _by_loop(trainable: Trainable, examples: Sequence[Example]) -> torch.Tensor:
    weights = [parameter for parameter in trainable.whole.parameters() if parameter.requires_grad]
    found = []
    for example in examples:
        batch = pack([example], capacity=0, pad=0)
        logits = trainable.whole(**batch.inputs, use_cache=False).logits
        loss = token_nll(logits, batch.labels).sum() / example.num_answer
        found.append(torch.cat([one.flatten() for one in torch.autograd.grad(loss, weights)]))
    return torch.stack(found)


def _relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1)).max())


def test_every_linear_module_of_every_layer_takes_part(trainable: Trainable) -> None:
    names = [span.name for span in GradientRecorder(trainable).spans]
    for module in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"):
        assert sum(f".{module}.lora_A." in name for name in names) == 2
        assert sum(f".{module}.lora_B." in name for name in names) == 2


@pytest.mark.parametrize("capacity", [0, 40, 64, PACK_TOKENS], ids=["padded", "tight", "some packed", "one sequence"])
def test_hooks_give_what_a_loop_of_autograd_gives(trainable: Trainable, capacity: int) -> None:
    examples = _examples()
    found = _by_hooks(replace(trainable, capacity=capacity), examples)
    assert _relative_error(found, _by_loop(trainable, examples)) < 1e-5


def test_a_row_s_gradient_does_not_depend_on_its_batch(trainable: Trainable) -> None:
    examples = _examples()
    together = _by_hooks(trainable, examples)
    alone = torch.cat([_by_hooks(trainable, [example]) for example in examples])
    assert _relative_error(together, alone) < 1e-5


def test_remembered_lower_layers_give_the_gradients_of_the_whole_model(tuned: TunedModel) -> None:
    recipe = TrainingRecipe(lora=LoraRecipe(num_top_layers=1))
    with tuned.trainable(recipe, seed=3, num_tokens=100, whole=False) as trainable:
        _shake(trainable)
        assert trainable.lower is not None
        assert _relative_error(_by_hooks(trainable, _examples()), _by_loop(trainable, _examples())) < 1e-5


def test_nothing_is_left_behind_in_the_model(trainable: Trainable) -> None:
    _by_hooks(trainable, _examples())
    assert all(parameter.grad is None for parameter in trainable.whole.parameters())
    assert not any(module._forward_hooks for module in trainable.whole.modules())


def test_trainable_weights_that_no_hook_sees_are_refused(trainable: Trainable) -> None:
    trainable.whole.get_input_embeddings().weight.requires_grad_(True)
    with pytest.raises(InputError, match="embed_tokens"):
        GradientRecorder(trainable)
    trainable.whole.get_input_embeddings().weight.requires_grad_(False)
