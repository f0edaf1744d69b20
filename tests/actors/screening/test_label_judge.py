"""The causal LM backbone: fine-tuned on label texts, it scores by how likely it makes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from actors.models.source import resolve_model
from actors.screening import label_prompt
from actors.screening.features import FEATURE_VERSION
from actors.screening.judge import LocalProbabilities
from actors.screening.label_judge import LabelJudge
from actors.screening.label_prompt import LABELS, label_prompt_digest, labelled_records
from actors.screening.manifest import ADAPTER, MANIFEST, MODEL, Calibration, ScreenerManifest, weight_digests
from actors.training.job import TrainJob
from actors.training.recipe import TrainingRecipe
from actors.training.trainer import run_job
from operators.contract.errors import InputError
from operators.contract.resources import Language
from tests.screener_rows import clean_rows, with_answer


def digest(language: Language = "en", domain: str = "general") -> str:
    return label_prompt_digest(language=language, domain=domain)


def manifest(model: Path) -> ScreenerManifest:
    return ScreenerManifest(
        backbone="causal_lm",
        model=str(model),
        model_revision=resolve_model(str(model)).revision,
        feature_version=FEATURE_VERSION,
        language="en",
        domain="general",
        max_length=320,
        precision="fp32",
        prompt_digest=digest(),
        calibration=Calibration(),
        threshold=0.5,
        weights={},
    )


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_trained_on_labels_tells_the_rows_apart(tiny_model: Path, tmp_path: Path, method: str) -> None:
    clean, bad = clean_rows(12), with_answer(clean_rows(24).slice(12), "###@@@ ###@@@")
    labels = LABELS["en"]
    records = [
        labelled_records(rows, [label] * 12, language="en", domain="general")
        for rows, label in zip((clean, bad), labels, strict=True)
    ]
    recipe = TrainingRecipe(
        method=method,
        learning_rate=1e-2 if method == "lora" else 3e-3,
        batch_size=12,
        budget="steps",
        steps=12,
        max_length=320,
    )
    export = tmp_path / (ADAPTER if method == "lora" else MODEL)
    run_job(
        TrainJob(
            model=resolve_model(str(tiny_model)),
            recipe=recipe,
            seed=0,
            train=pa.concat_tables(records),
            export_folder=str(export),
        )
    )
    assert weight_digests(tmp_path)
    judge = LabelJudge.load(tmp_path, manifest(tiny_model), base=str(tiny_model))
    scores = judge.scores(pa.concat_tables([clean, bad]))
    assert scores[12:].min() > scores[:12].max()
    alone = np.concatenate([judge.scores(clean.slice(at, 1)) for at in range(3)])
    assert np.allclose(alone, scores[:3], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("PROMPT", "screen_score"),
        ("LABELS", {"en": ("clean", "dirty")}),
        ("LABELS", {"en": ("fine", "needs work")}),
        ("MAX_HISTORY_CHARS", 1000),
    ],
)
def test_a_screener_that_was_taught_another_prompt_or_other_labels_is_refused(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, changed: object
) -> None:
    taught = manifest(tiny_model)
    (tmp_path / MANIFEST).write_text(taught.model_dump_json())
    assert LocalProbabilities.of(str(tmp_path)).revision == taught.revision
    monkeypatch.setattr(label_prompt, name, changed)
    assert manifest(tiny_model).revision != taught.revision
    with pytest.raises(InputError, match="taught another prompt"):
        LocalProbabilities.of(str(tmp_path))


def test_the_digest_of_the_prompt_covers_its_language_its_domain_and_the_turns_before_a_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digests = {digest(), digest("zh"), digest(domain="law")}
    monkeypatch.setattr(label_prompt, "recent_turns", lambda turns, max_chars: ())
    assert len(digests | {digest()}) == 4
