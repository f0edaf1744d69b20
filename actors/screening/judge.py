"""Loads what a screener's folder holds and gives calibrated probabilities; one load per process and folder."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from actors.models.embedder import SentenceEmbedder
from actors.models.source import resolve_model
from actors.screening.encoder_head import Floats
from actors.screening.encoder_judge import EncoderJudge
from actors.screening.features import FEATURE_VERSION
from actors.screening.label_prompt import label_prompt_digest
from actors.screening.manifest import ScreenerManifest, read_manifest
from operators.contract.errors import InputError


class Judge(Protocol):
    """A loaded backbone."""

    def scores(self, table: pa.Table) -> Floats:
        """Uncalibrated scores [N] of complete rows in (0, 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProbabilities:
    """Probabilities from a screener's folder. Plain data until it judges, so it travels to workers as it is."""

    folder: str
    revision: str
    threshold: float

    @classmethod
    def of(cls, folder: str) -> LocalProbabilities:
        """Raises: InputError where the folder holds no whole screener that this version can use."""
        manifest = read_manifest(folder)
        _require_current(folder, manifest)
        place = str(Path(folder).expanduser().absolute())
        return cls(folder=place, revision=manifest.revision, threshold=manifest.threshold)

    def probabilities(self, table: pa.Table) -> list[float | None]:
        """The probability of each complete row that it needs work; never None here."""
        manifest, judge = _loaded(self.folder, self.revision)
        with _ONE_AT_A_TIME:
            scores = judge.scores(table)
        found: list[float | None] = manifest.calibration.probabilities(scores).tolist()
        return found


def load_judge(folder: Path, manifest: ScreenerManifest, *, memo: str | None = None) -> Judge:
    """The backbone in a folder; `memo` is where an encoder's embeddings are remembered.

    Raises: InputError where its model cannot be had, or is not the one that it was trained on.
    """
    model = resolve_model(manifest.model)
    if model.revision != manifest.model_revision:
        raise InputError(
            f"{folder} was trained on another revision of {manifest.model} than the one that is here: train it again"
        )
    if manifest.backbone == "encoder":
        return EncoderJudge.load(folder, SentenceEmbedder(model=model, memo=memo))
    from actors.screening.label_judge import LabelJudge

    return LabelJudge.load(folder, manifest, base=model.path)


def _require_current(folder: str, manifest: ScreenerManifest) -> None:
    if manifest.feature_version != FEATURE_VERSION:
        raise InputError(
            f"{folder} was trained on features of version {manifest.feature_version}, this is {FEATURE_VERSION}: "
            "train the screener again"
        )
    if manifest.backbone == "encoder":
        return
    if manifest.prompt_digest != label_prompt_digest(language=manifest.language, domain=manifest.domain):
        raise InputError(f"{folder} was taught another prompt than this version asks with: train the screener again")


_ONE_AT_A_TIME = threading.Lock()
"""A model of a process judges one batch at a time, whichever thread asks."""


@lru_cache(maxsize=2)
def _loaded(folder: str, revision: str) -> tuple[ScreenerManifest, Judge]:
    manifest = read_manifest(folder)
    if manifest.revision != revision:
        raise InputError(f"{folder} holds another screener than a moment ago; start again")
    return manifest, load_judge(Path(folder), manifest)
