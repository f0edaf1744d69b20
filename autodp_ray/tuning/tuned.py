"""What a final fine-tuning gives: where the model lies, what it was made of, and its score on the test split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from actors.training.recipe import TrainingRecipe

ExportKind = Literal["adapter", "merged", "full"]


class Tuned(BaseModel):
    """One exported model. Names, numbers and config text; no row text.

    Scores are r of the loss evaluator: minus the mean NLL of a test answer's token, in nats.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    """The base model as it was named."""
    revision: str
    kind: ExportKind
    output: str
    run_dir: str
    dataset: str
    strategy: str
    recipe: TrainingRecipe
    seed: int
    num_rows: int
    """Rows that were trained on."""
    left_out: Mapping[str, int]
    """Processed rows that were not, by reason."""
    num_truncated: int
    num_steps: int
    num_test_rows: int
    test_score: float
    untrained_score: float
    gain: float
    """test_score - untrained_score."""
    gain_ci95: tuple[float, float]
    """Over the test rows; one training says nothing of other seeds."""
    seconds: Mapping[str, float]

    def text(self) -> str:
        """For people."""
        low, high = self.gain_ci95
        left_out = ", ".join(f"{reason} {count}" for reason, count in self.left_out.items()) or "none"
        return (
            f"tuned {self.model} on {self.num_rows} rows after {self.strategy}: {self.num_steps} steps; "
            f"left out: {left_out}\n"
            f"test score {self.test_score:.4f}, untrained {self.untrained_score:.4f}: "
            f"{self.gain:+.4f} [{low:+.4f}, {high:+.4f}] on {self.num_test_rows} rows\n"
            f"wrote {self.output} ({self.kind})"
        )
