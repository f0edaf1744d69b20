"""What `autodp screen train` made, and its README.md: data, figures, calibration, confusion per kind of defect.

Holds no row text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from actors.models.hub_id import hub_id
from actors.screening.manifest import Calibration
from autodp_ray.screening.metrics import ScreenerFigures

FIGURES = "figures.json"


class TrainedScreener(BaseModel):
    """What was trained, on what, and how good it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str
    revision: str
    backbone: str
    model: str
    model_revision: str
    dataset: str
    labels: Literal["corruption", "llm"]
    language: str
    domain: str
    rows_read: int
    rows_copied_from_the_run: int
    """Rows left out because they are near-duplicates of the run's rows."""
    rows: Mapping[str, int]
    """Rows of each part."""
    label_counts: Mapping[str, int]
    """`labels: llm`: rows by score and verdict, and replies that could not be read."""
    calibration: Calibration
    figures: ScreenerFigures
    seconds: float

    def text(self) -> str:
        """For people."""
        figures = self.figures
        parts = ", ".join(f"{name} {count}" for name, count in self.rows.items())
        kinds = "\n".join(
            f"  {kind:<20}{one.found:>5} of {one.rows:<5} found   AUC {'-' if one.auc is None else f'{one.auc:.3f}'}"
            for kind, one in figures.kinds.items()
        )
        return (
            f"trained a screener ({self.backbone}) in {self.seconds:.0f} s; rows: {parts}\n"
            f"on {figures.rows} held-out rows: AUC {figures.auc or 0.0:.3f}, expected calibration error "
            f"{figures.expected_calibration_error:.3f}, threshold {figures.threshold:.3f}, "
            f"{figures.clean_flagged} of {figures.clean} clean rows flagged\n{kinds}\n"
            f"wrote {self.output}; use it with --set screener.folder={self.output}"
        )


def screener_card(trained: TrainedScreener) -> str:
    """The card as Markdown, with the front matter that the hub reads."""
    sections = (
        _front_matter(trained),
        "# Screener: which question-answer rows need work",
        "Gives the probability that a row should be cleaned, corrected or completed before a model is trained on it. A "
        "row without question or answer always needs work and is not judged.",
        f"- backbone: {trained.backbone}, `{trained.model}` at revision `{trained.model_revision}`\n"
        f"- revision of the screener: `{trained.revision}`\n- language: {trained.language}, domain: {trained.domain}",
        "## Training data",
        _data(trained),
        "## Figures",
        _figures(trained.figures),
        "## Calibration",
        f"Probability = sigmoid({trained.calibration.slope:.4f} x logit(score) + {trained.calibration.intercept:.4f}), "
        f"fitted on {trained.rows['calibration']} rows that were not trained on. A row needs work from "
        f"{trained.figures.threshold:.4f} on, the threshold with the highest balanced accuracy on those rows.",
    )
    return "\n\n".join(sections) + "\n"


def _front_matter(trained: TrainedScreener) -> str:
    lines = ["pipeline_tag: text-classification", "tags: [autodp, data-quality]"]
    if hub := hub_id(trained.model):
        lines.append(f"base_model: {hub}")
    return "\n".join(["---", *lines, "---"])


def _data(trained: TrainedScreener) -> str:
    parts = ", ".join(f"{name} {count}" for name, count in trained.rows.items())
    how = {
        "corruption": "seeded damage of rows that are taken to be clean",
        "llm": "an LLM, on rows sampled evenly over its scores from 1 to 5",
    }[trained.labels]
    lines = [
        f"- dataset: `{trained.dataset}`, {trained.rows_read} rows read; {trained.rows_copied_from_the_run} left out "
        "as near-duplicates of rows of the run that it was trained for",
        f"- rows: {parts}",
        f"- labels: {how}",
    ]
    if trained.label_counts:
        lines.append("- " + ", ".join(f"{name} {count}" for name, count in sorted(trained.label_counts.items())))
    return "\n".join(lines)


def _figures(figures: ScreenerFigures) -> str:
    head = (
        f"On {figures.rows} rows that were neither trained nor calibrated on: AUC {_auc(figures.auc)}, expected "
        f"calibration error {figures.expected_calibration_error:.3f}; {figures.clean_flagged} of {figures.clean} clean "
        "rows are flagged."
    )
    rows = [f"| {kind} | {one.rows} | {one.found} | {_auc(one.auc)} |" for kind, one in figures.kinds.items()]
    table = "\n".join(["| kind of defect | rows | found | AUC against clean rows |", "|---|---|---|---|", *rows])
    return f"{head}\n\n{table}"


def _auc(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
