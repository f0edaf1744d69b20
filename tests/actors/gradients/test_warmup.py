"""The warm-up before gradient selection: its rows, its checkpoints, and Adam's scaling at them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from actors.gradients.warmup import warm_up, warmup_rows
from actors.gradients.warmup_checkpoint import (
    AdamState,
    WarmupCheckpoint,
    adam_update,
    load_checkpoints,
    save_checkpoints,
)
from actors.gradients.warmup_manifest import MANIFEST, find_warmup, publish, read_manifest, set_aside
from actors.models.source import resolve_model
from actors.storage.storage import Storage
from actors.training.recipe import LoraRecipe, TrainingRecipe
from actors.training.tuned_model import TunedModel
from operators.contract.errors import RunError
from operators.rows.record import RECORD_SCHEMA
from operators.select_by_gradient import SelectByGradient

RECIPE = TrainingRecipe(learning_rate=3e-3, batch_size=4, max_length=64, lora=LoraRecipe(rank=4))
SPEC = SelectByGradient(num_checkpoints=2)


def _table(answers: list[str | None], *, prefix: str) -> pa.Table:
    rows: list[dict[str, object]] = [
        {"id": f"{prefix}{at:03d}", "history": [], "question": f"What is {at}?", "answer": answer, "origin": "source"}
        for at, answer in enumerate(answers)
    ]
    return pa.Table.from_pylist(rows, schema=RECORD_SCHEMA)


RAW = _table([f"It is {at + 1} less one." for at in range(24)], prefix="r")


def test_adam_s_update_is_what_the_optimizer_does() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(3, 4, generator=generator))
    optimizer = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.0)
    for _ in range(5):
        weight.grad = torch.randn(3, 4, generator=generator)
        optimizer.step()
    state = optimizer.state[weight]
    kept = AdamState(exp_avg=state["exp_avg"].clone(), exp_avg_sq=state["exp_avg_sq"].clone())
    before, gradient = weight.detach().clone(), torch.randn(3, 4, generator=generator)
    weight.grad = gradient.clone()
    optimizer.step()
    (update,) = adam_update(gradient[None], kept, step=5, momentum=True)
    torch.testing.assert_close(before - 0.01 * update, weight.detach(), rtol=1e-5, atol=1e-7)


def test_without_momentum_the_direction_of_small_gradients_is_their_own() -> None:
    state = AdamState(exp_avg=torch.tensor([1.0, 1.0]), exp_avg_sq=torch.tensor([1.0, 4.0]))
    small = torch.tensor([[1e-3, -1e-3]])
    (own,), (drowned,) = (adam_update(small, state, step=9, momentum=flag) for flag in (False, True))
    torch.testing.assert_close(own[0] / own[1], torch.tensor(-2.0), rtol=1e-4, atol=0)
    assert (drowned > 0).all()


def test_the_warm_up_takes_a_seeded_share_and_at_least_a_batch() -> None:
    incomplete = _table([None] * 3, prefix="x")
    table = pa.concat_tables([RAW, incomplete])
    assert warmup_rows(table, spec=SPEC, recipe=RECIPE).num_rows == RECIPE.batch_size
    half = warmup_rows(table, spec=SPEC.model_copy(update={"warmup_frac": 0.5}), recipe=RECIPE)
    assert half.num_rows == 12
    assert half["answer"].null_count == 0
    backwards = table.take(list(range(table.num_rows))[::-1])
    assert warmup_rows(backwards, spec=SPEC, recipe=RECIPE) == warmup_rows(table, spec=SPEC, recipe=RECIPE)
    other = warmup_rows(table, spec=SPEC.model_copy(update={"seed": 1}), recipe=RECIPE)
    assert other != warmup_rows(table, spec=SPEC, recipe=RECIPE)


def test_each_pass_of_the_warm_up_leaves_weights_moments_and_its_learning_rate(tiny_model: Path) -> None:
    recipe = RECIPE.for_gradients(num_gpus=0)
    tuned = TunedModel(str(tiny_model), recipe)
    spec = SelectByGradient(num_checkpoints=3)
    first, second = (
        warm_up(tuned, resolve_model(str(tiny_model)), RAW.slice(0, 8), spec=spec, recipe=recipe) for _ in range(2)
    )
    assert [one.step for one in first] == [2, 4, 6]
    rates = [one.learning_rate for one in first]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == pytest.approx(RECIPE.learning_rate * (1 + 5 / 6) / 2)
    assert all(float(state.exp_avg_sq.max()) > 0 for one in first for state in one.states.values())
    for left, right in zip(first, second, strict=True):
        assert all(torch.equal(left.weights[name], right.weights[name]) for name in left.weights)
    names = set(first[0].weights)
    assert any(not torch.equal(first[0].weights[name], first[2].weights[name]) for name in names)


def test_checkpoints_come_back_from_storage_and_damage_is_noticed(tmp_path: Path) -> None:
    state = AdamState(exp_avg=torch.ones(2, 3), exp_avg_sq=torch.full((2, 3), 2.0))
    one = WarmupCheckpoint(weights={"a": torch.zeros(2, 3)}, states={"a": state}, learning_rate=0.5, step=4)
    folder = Storage.at(tmp_path / "w")
    assert read_manifest(folder) is None
    manifest = save_checkpoints(folder, [one], num_rows=8)
    assert read_manifest(folder) == manifest
    (back,) = load_checkpoints(folder)
    assert (back.learning_rate, back.step) == (0.5, 4)
    torch.testing.assert_close(back.states["a"].exp_avg_sq, state.exp_avg_sq)
    assert save_checkpoints(Storage.at(tmp_path / "v"), [replace(one, step=5)], num_rows=8).digest != manifest.digest
    data = bytearray(folder.read_bytes("checkpoint-0.safetensors"))
    data[-1] ^= 1
    folder.write_bytes("checkpoint-0.safetensors", bytes(data))
    with pytest.raises(RunError, match="damaged"):
        load_checkpoints(folder)
    assert find_warmup(folder) is None


def _saved(folder: Path, *, step: int = 4) -> Storage:
    state = AdamState(exp_avg=torch.ones(2), exp_avg_sq=torch.ones(2))
    one = WarmupCheckpoint(weights={"a": torch.zeros(2)}, states={"a": state}, learning_rate=0.5, step=step)
    save_checkpoints(Storage.at(folder), [one], num_rows=8)
    return Storage.at(folder)


def test_no_byte_of_a_warm_up_s_manifest_can_flip_unseen(tmp_path: Path) -> None:
    folder = _saved(tmp_path / "w")
    manifest = find_warmup(folder)
    assert manifest is not None
    whole = folder.read_bytes(MANIFEST)
    for at in range(len(whole)):
        folder.write_bytes(MANIFEST, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = find_warmup(folder)
        assert found is None or found.digest == manifest.digest, f"byte {at}"
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        folder.write_bytes(MANIFEST, whole[:length])
        assert find_warmup(folder) is None


def test_of_two_warm_ups_the_first_in_its_place_stays(tmp_path: Path) -> None:
    folder = Storage.at(tmp_path / "w")
    first = publish(_saved(tmp_path / "w-1"), folder)
    assert publish(_saved(tmp_path / "w-2", step=5), folder) == first == find_warmup(folder)
    assert Storage.at(tmp_path).names() == ["w"]


def test_a_warm_up_that_was_set_aside_makes_room(tmp_path: Path) -> None:
    folder = _saved(tmp_path / "w")
    set_aside(folder)
    assert not folder.exists()
    set_aside(folder)
    publish(_saved(tmp_path / "w-1"), folder)
    assert find_warmup(folder) is not None
    assert [name.startswith("damaged-w-") for name in Storage.at(tmp_path).names()] == [True, False]
