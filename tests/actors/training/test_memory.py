"""Parameters counted from public config facts, and the memory arithmetic against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import transformers

from actors.models.shape import ModelShape, read_shape, shape_of
from actors.training.memory import (
    GIB,
    USABLE_FRAC,
    ZERO3_LIVE_PARAMS,
    ZERO_BUCKET,
    MemoryEstimate,
    estimate_memory,
    fits,
    memory_table,
    require_evaluation_fit,
    require_fit,
)
from actors.training.recipe import LoraRecipe, TrainingRecipe
from operators.contract.errors import InputError
from tests.actors.model_facts import GEMMA_9B, LLAMA_8B, QWEN_1_5B, QWEN_7B

A100 = 80 * GIB

# A decoder small enough to count on paper: 2 layers of (4x8 + 4x4 + 4x4 + 8x4) + 3 x 4x6 + 2 x 4 = 176, two
# embeddings of 10 x 4, a last norm of 4: 436.
TOY = ModelShape(
    num_layers=2,
    hidden=4,
    intermediate=6,
    vocab=10,
    query_width=8,
    key_width=4,
    num_embeddings=2,
    vectors_per_layer=8,
)
FULL = TrainingRecipe(method="full", batch_size=4, micro_batch_size=2, max_length=8, num_gpus_per_worker=1)


def shape(config: Mapping[str, object]) -> ModelShape:
    found = shape_of(config)
    assert found is not None
    return found


def changed(recipe: TrainingRecipe, **settings: object) -> TrainingRecipe:
    return TrainingRecipe.model_validate(recipe.model_dump() | settings)


@pytest.mark.parametrize(
    ("config", "billions"), [(QWEN_1_5B, 1.544), (QWEN_7B, 7.616), (LLAMA_8B, 8.030), (GEMMA_9B, 9.242)]
)
def test_parameters_are_those_that_the_model_cards_give(config: Mapping[str, object], billions: float) -> None:
    assert shape(config).num_params / 1e9 == pytest.approx(billions, rel=1e-3)


@pytest.mark.parametrize(
    "config",
    [
        transformers.LlamaConfig(attention_bias=True, mlp_bias=True),
        transformers.LlamaConfig(tie_word_embeddings=True),
        transformers.Qwen2Config(num_key_value_heads=2),
        transformers.Qwen3Config(head_dim=32, num_key_value_heads=2),
        transformers.MistralConfig(num_key_value_heads=2),
        transformers.Gemma2Config(head_dim=24, num_key_value_heads=2),
    ],
    ids=["llama_biases", "llama_tied", "qwen2", "qwen3", "mistral", "gemma2"],
)
def test_the_count_is_exact_for_every_family(config: transformers.PretrainedConfig, tmp_path: Path) -> None:
    for name, value in {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "vocab_size": 120,
        "pad_token_id": 0,
    }.items():
        setattr(config, name, value)
    if config.model_type in ("llama", "qwen2", "mistral"):
        config.head_dim = 16
    config.layer_types = None if not hasattr(config, "layer_types") else ["full_attention"] * 3
    if config.model_type == "llama":
        config.num_key_value_heads = 4
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    found = read_shape(str(tmp_path))
    assert found is not None
    assert found.num_params == sum(parameter.numel() for parameter in model.parameters())


def test_an_unknown_architecture_has_no_shape_and_a_broken_config_is_named(tmp_path: Path) -> None:
    assert shape_of({"model_type": "mixtral", "hidden_size": 8}) is None
    with pytest.raises(InputError, match=r"lacks a size .'num_attention_heads'"):
        shape_of({"model_type": "llama", "hidden_size": 8})
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        read_shape(str(tmp_path))


def test_adapters_are_counted_by_layer_and_rank() -> None:
    # Per layer and rank: (4+8) + 2 (4+4) + (8+4) + 3 (4+6) = 70.
    assert TOY.num_params == 436
    assert TOY.lora_params(rank=3) == 2 * 3 * 70
    assert TOY.lora_params(rank=3, num_top_layers=1) == 3 * 70
    # Rank 8 on all linear layers of Qwen2.5-7B: 20.19 million, as peft prints for it.
    assert shape(QWEN_7B).lora_params(rank=8) == 20_185_088


def test_full_float32_keeps_sixteen_bytes_for_each_parameter() -> None:
    need = estimate_memory(FULL, TOY)
    # 2 rows of 8 tokens; a layer keeps 4 bytes x 4 x (2x4 + 8 + 4 + 6) = 416 of a token, a logit takes 12.
    assert need == MemoryEstimate(
        weights=436 * 4,
        gradients=436 * 4,
        optimizer=436 * 8,
        activations=16 * 2 * 416,
        logits=16 * 10 * 12,
        buffers=0,
    )
    assert need.total == 436 * 16 + 16 * 832 + 1920


def test_bf16_without_an_engine_keeps_float32_weights_and_their_copies() -> None:
    need = estimate_memory(changed(FULL, precision="bf16", num_workers=2), TOY)
    assert (need.weights, need.gradients, need.optimizer) == (436 * 4, 436 * 4, 436 * 8)
    assert need.buffers == 436 * (2 + 4)
    assert need.activations == 16 * 2 * 208
    assert need.logits == 16 * 10 * 14


def test_gradient_checkpointing_keeps_one_vector_a_layer_and_one_layer() -> None:
    need = estimate_memory(changed(FULL, gradient_checkpointing=True), TOY)
    assert need.activations == 16 * (2 * 4 * 4 + 416)


def test_what_must_fit_is_the_fewest_workers_that_may_go_on() -> None:
    many, few = (changed(FULL, batch_size=4, micro_batch_size=4, num_workers=num) for num in (4, 1))
    elastic = changed(FULL, batch_size=4, micro_batch_size=4, num_workers=4, min_workers=1)
    assert estimate_memory(elastic, TOY).activations == estimate_memory(few, TOY).activations
    assert estimate_memory(elastic, TOY).activations == 4 * estimate_memory(many, TOY).activations


def test_zero2_shares_out_gradients_and_optimizer_states() -> None:
    need = estimate_memory(changed(FULL, precision="bf16", deepspeed="zero2", num_workers=4), TOY)
    assert (need.weights, need.gradients, need.optimizer) == (436 * 2, 436 * 2 / 4, 436 * 12 / 4)
    assert need.buffers == 2 * 436 * 2
    # Four workers of a global batch of 4 see one row each, whatever the micro-batch.
    assert need.logits == 8 * 10 * 14


def test_zero3_shares_out_the_weights_too_but_for_what_it_gathers() -> None:
    recipe = changed(FULL, precision="bf16", deepspeed="zero3", num_workers=16, batch_size=64)
    need, params = estimate_memory(recipe, shape(QWEN_7B)), shape(QWEN_7B).num_params
    assert need.weights == params * 2 / 16
    assert need.buffers == ZERO3_LIVE_PARAMS * 2 + 2 * ZERO_BUCKET * 2


def test_lora_trains_adapters_on_frozen_weights() -> None:
    lora = LoraRecipe(rank=3)
    plain = estimate_memory(changed(FULL, method="lora", lora=lora, precision="bf16"), TOY)
    assert (plain.weights, plain.gradients, plain.optimizer) == (436 * 2 + 420 * 4, 420 * 4, 420 * 8)
    engine = changed(FULL, method="lora", lora=lora, precision="bf16", deepspeed="zero2", num_workers=2)
    sharded = estimate_memory(engine, TOY)
    assert (sharded.weights, sharded.gradients, sharded.optimizer) == (856 * 2, 420.0, 420 * 6)


def test_a_training_that_cannot_fit_is_refused_with_the_keys_to_change() -> None:
    seven = shape(QWEN_7B)
    recipe = changed(FULL, batch_size=64, micro_batch_size=4, max_length=1024)
    assert not fits(recipe, seven, A100)
    with pytest.raises(InputError) as caught:
        require_fit(recipe, seven, A100, section="tune")
    said = str(caught.value)
    # 16 bytes x 7.6156 billion = 113.5 GiB before any activation.
    assert said.startswith("a model of 7.62 billion parameters needs ")
    assert "weights 28.4, gradients 28.4, optimizer 56.7" in said
    assert f"but a worker can use {80 * USABLE_FRAC:.1f} GiB of 80.0 GiB" in said
    for key in ("micro_batch_size (4)", "gradient_checkpointing", "precision to bf16", "deepspeed to zero2", "lora"):
        assert key in said
    assert "tune.micro_batch_size" in said
    assert "training." not in said


def test_following_the_advice_makes_it_fit() -> None:
    recipe = changed(
        FULL,
        batch_size=64,
        micro_batch_size=1,
        max_length=1024,
        precision="bf16",
        gradient_checkpointing=True,
        deepspeed="zero2",
        num_workers=16,
    )
    require_fit(recipe, shape(QWEN_7B), A100)
    assert not fits(changed(recipe, deepspeed=None), shape(QWEN_7B), A100)
    assert not fits(changed(recipe, num_gpus_per_worker=0.25), shape(QWEN_7B), A100)


def test_the_table_has_a_line_for_each_model_and_a_verdict() -> None:
    small = changed(FULL, precision="bf16", batch_size=64)
    lines = memory_table([("proxy", small, shape(QWEN_1_5B)), ("final", small, shape(GEMMA_9B))], A100).splitlines()
    assert len(lines) == 4
    assert lines[1].split()[:2] == ["proxy", "1.54B"]
    assert (lines[1].split()[-1], lines[2].split()[-1]) == ("yes", "no")
    assert lines[3] == "GiB on each GPU; a worker can use 92% of 80.0 GiB"


def test_a_model_that_trainings_shard_must_fit_whole_to_be_scored_before() -> None:
    large = shape({**LLAMA_8B, "num_hidden_layers": 140})  # 31.6 billion parameters
    recipe = changed(FULL, deepspeed="zero3", num_workers=16, micro_batch_size=1, precision="bf16")
    require_fit(recipe, large, A100)
    require_evaluation_fit(recipe, large, A100)
    with pytest.raises(InputError, match=r"whole on each GPU: .* set tune\.precision to bf16, take larger GPUs"):
        require_evaluation_fit(changed(recipe, precision="fp32"), large, A100, section="tune")
    require_evaluation_fit(changed(recipe, deepspeed="zero2"), large, 40 * GIB)  # a training that holds as much itself
    with pytest.raises(InputError, match=r"36\.8 GiB of 40\.0 GiB; take larger GPUs or tune a smaller model"):
        require_evaluation_fit(recipe, large, 40 * GIB, section="tune")
