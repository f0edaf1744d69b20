"""A trained screener as a folder: what it is, how its scores become verdicts, and the digest that identifies it.

    screener.json            this manifest
    head.safetensors         encoder: both parts of the head
    adapter/ or model/       causal LM: what fine-tuning made
    training_rows.npz        sketches of the rows that it was made from, to find their copies
    README.md, figures.json  the model card, for people and for machines

The manifest is written last, so a folder with a manifest is whole.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.screening.encoder_head import Floats, logit, sigmoid
from actors.storage.file_digest import file_digest
from operators.contract.errors import InputError

MANIFEST = "screener.json"
HEAD, ADAPTER, MODEL = "head.safetensors", "adapter", "model"
TRAINING_ROWS = "training_rows.npz"
PROBABILITY_DECIMALS = 4
"""Places of a probability that count. A row's neighbours in a batch reach the sixth, and must not turn a verdict."""

Backbone = Literal["encoder", "causal_lm"]


class Calibration(BaseModel):
    """Platt scaling: probability = sigmoid(slope * logit(score) + intercept)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slope: float = Field(default=1.0, gt=0)
    intercept: float = 0.0

    def probabilities(self, scores: Floats) -> Floats:
        """Calibrated probabilities [N]; 1 means that the row needs work."""
        found: Floats = np.round(sigmoid(self.slope * logit(scores) + self.intercept), PROBABILITY_DECIMALS)
        return found


class ScreenerManifest(BaseModel):
    """Everything but the weights that a verdict depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    backbone: Backbone
    model: str
    """Source of the encoder or of the base model: hub id, folder or pkg:NAME."""
    model_revision: str
    feature_version: int
    language: Literal["en", "zh"]
    domain: str
    max_length: int = Field(ge=8)
    """The longest prompt and label together in tokens, for `causal_lm`."""
    precision: Literal["fp32", "bf16"]
    """Causal LM: of its weights when it judges."""
    prompt_digest: str = ""
    """Causal LM: of the prompt and the label texts that it was taught."""
    calibration: Calibration
    threshold: float = Field(ge=0.0, le=1.0)
    """A row needs work from this probability on."""
    weights: dict[str, str]
    """sha256 of each weight file by its name in the folder."""

    @property
    def revision(self) -> str:
        """Digest of everything that a verdict depends on beside the row."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def weight_digests(folder: Path) -> dict[str, str]:
    """sha256 by name of the weight files in a screener's folder."""
    found = [folder / HEAD, *(folder / ADAPTER).rglob("*"), *(folder / MODEL).rglob("*")]
    files = sorted(path for path in found if path.is_file() and path.suffix != ".md")
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def read_manifest(folder: str) -> ScreenerManifest:
    """The manifest of a trained screener.

    Raises: InputError where there is none, it cannot be read, or the weights are not those that it names.
    """
    path = Path(folder).expanduser() / MANIFEST
    if not path.is_file():
        raise InputError(f"{folder} holds no screener (no {MANIFEST}); train one: autodp screen train CONFIG --output")
    try:
        manifest = ScreenerManifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is no screener that this version reads: {error.error_count()} faults") from error
    if weight_digests(path.parent) != manifest.weights:
        raise InputError(f"{folder}: the weights are not those that {MANIFEST} names; train the screener again")
    return manifest
