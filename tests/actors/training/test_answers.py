"""What a tuned model answers: the library's own greedy reply to each question, whatever else is in the batch."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.models.source import resolve_model
from actors.training.chat_rows import ChatEncoder
from actors.training.rank_share import groups
from actors.training.trainer import FineTuner, run_job
from tests.actors.training.test_trainer import RECIPE, job, table

NUM_TOKENS = 6


def greedy(model: torch.nn.Module, tokenizer: object) -> list[str]:
    """Each prompt alone, token by token."""
    replies = []
    for example in ChatEncoder(tokenizer, max_length=RECIPE.max_length).encode(table(7, prefix="h")).examples:
        tokens = list(example.tokens[: example.num_prompt])
        for _ in range(NUM_TOKENS):
            with torch.no_grad():
                token = int(model(input_ids=torch.tensor([tokens])).logits[0, -1].argmax())
            tokens.append(token)
            if token == tokenizer.eos_token_id:  # type: ignore[attr-defined]
                break
        replies.append(tokenizer.decode(tokens[example.num_prompt :], skip_special_tokens=True).strip())  # type: ignore[attr-defined]
    return replies


def test_the_model_as_it_is_answers_greedily(tiny_model: Path) -> None:
    outcome = run_job(replace(job(tiny_model), train=None, max_answer_tokens=NUM_TOKENS))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    assert list(outcome.answers["held_out"]) == greedy(model, tokenizer)
    assert "answer" in outcome.seconds


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_tuned_model_answers_with_its_new_weights(tiny_model: Path, tmp_path: Path, method: str) -> None:
    recipe = RECIPE.model_copy(update={"method": "full", "learning_rate": 1e-2} if method == "full" else {"steps": 12})
    tuner = FineTuner()
    wanted = replace(job(tiny_model, recipe), max_answer_tokens=NUM_TOKENS, export_folder=str(tmp_path))
    outcome = tuner.run(wanted)
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    if method == "full":
        model = AutoModelForCausalLM.from_pretrained(tmp_path)
    else:
        import peft

        model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path)
    assert list(outcome.answers["held_out"]) == greedy(model, tokenizer)
    untrained = tuner.run(replace(wanted, train=None, export_folder=None))
    assert untrained.answers != outcome.answers
    assert tuner.run(replace(wanted, export_folder=None)).answers == outcome.answers
    assert tuner.run(replace(wanted, export_folder=None, max_answer_tokens=None)).answers == {}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_in_bf16_answers_too(tiny_model: Path, method: str) -> None:
    recipe = RECIPE.model_copy(update={"precision": "bf16", "method": method, "gradient_checkpointing": True})
    outcome = run_job(replace(job(tiny_model, recipe), max_answer_tokens=NUM_TOKENS))
    assert len(outcome.answers["held_out"]) == 7
    assert any(outcome.answers["held_out"])


def test_answers_do_not_depend_on_the_batches(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = replace(job(tiny_model), train=None, max_answer_tokens=NUM_TOKENS)
    together = run_job(wanted)
    monkeypatch.setattr("actors.training.answers.BATCH_TOKENS", 1)
    assert run_job(wanted).answers == together.answers


def test_the_models_own_settings_of_decoding_shape_no_answer(tiny_model: Path, tmp_path: Path) -> None:
    wanted = replace(job(tiny_model), max_answer_tokens=NUM_TOKENS)
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    settings = {"do_sample": True, "temperature": 2.0, "repetition_penalty": 5.0, "no_repeat_ngram_size": 1}
    own = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(own | settings))
    penalised = replace(wanted, model=resolve_model(str(folder)))
    for train in (None, wanted.train):
        tuner = FineTuner()
        for _ in range(2):  # the settings are put back, and not lost on the way
            outcome = tuner.run(replace(penalised, train=train))
            assert outcome.answers == run_job(replace(wanted, train=train)).answers


def test_groups_hold_rows_of_like_size_up_to_a_bound() -> None:
    examples = ChatEncoder(_Letters(), max_length=64).encode(table(5)).examples
    sizes = [3, 1, 2, 9, 2]
    assert groups(examples, sizes, max_tokens=4) == [[1, 2], [4], [0], [3]]
    assert groups(examples, sizes, max_tokens=100) == [[1, 2, 4, 0, 3]]
    assert groups([], [], max_tokens=4) == []


class _Letters:
    """A tokenizer of letters."""

    eos_token = "."
    chat_template = None

    def __call__(self, texts: list[str], *, add_special_tokens: bool) -> dict[str, list[list[int]]]:
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}
