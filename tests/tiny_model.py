"""A two-layer, randomly initialised chat model for tests: the real classes, no weights from anywhere.

The tokenizer is a byte-level BPE trained on a few lines of English and Chinese, so that any text round-trips; the model
is a Llama with 64 hidden units. Everything is seeded: the same folder content each time, up to the library's versions.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

BOS, EOS, PAD = "<|im_start|>", "<|im_end|>", "<|pad|>"
VOCAB_SIZE = 400
MAX_POSITIONS = 1024

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

TEXTS = [
    "system user assistant question answer instruction response",
    "What is the usual dose of paracetamol for an adult? Ask a doctor before you take more than the label says.",
    "The quick brown fox jumps over the lazy dog while the rain in Spain stays mainly in the plain.",
    '{"question": "what is it", "answer": "it is a test", "strategies": [["cleaning", "optimization"]]}',
    "头痛应该吃什么药？请遵医嘱，多喝水，注意休息。",
]


def make_tiny_model(folder: Path, *, seed: int = 0) -> Path:
    """Writes tokenizer, chat template, config and safetensors weights into `folder` and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
        initializer_range=0.1,  # wide enough that the next token depends on the whole context
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def make_tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of at most VOCAB_SIZE tokens with the chat template."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
