"""How good a screener is on rows whose labels are known: AUC, calibration, threshold, confusion by kind of defect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from actors.screening.encoder_head import Floats, logit, sigmoid
from actors.screening.manifest import Calibration

CALIBRATION_BINS = 10
_RIDGE = 1e-3
_NEWTON_STEPS = 50
_MIN_SLOPE = 0.05

Bool = npt.NDArray[np.bool_]


class KindFigures(BaseModel):
    """One kind of defect against all clean rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    found: int
    """Rows that the screener says need work."""
    auc: float | None
    """Null where there is no clean row to compare with."""


class ScreenerFigures(BaseModel):
    """What the model card says, measured on rows that were neither trained nor calibrated on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    clean: int
    clean_flagged: int
    """Clean rows that the screener says need work."""
    auc: float | None
    expected_calibration_error: float
    threshold: float
    kinds: dict[str, KindFigures]


def area_under_curve(scores: Floats, positive: Bool) -> float | None:
    """Chance that a positive row scores above a negative one, ties half; None where one of the two is missing."""
    num_positive, num_negative = int(positive.sum()), int((~positive).sum())
    if not num_positive or not num_negative:
        return None
    values, places, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    ranks = (ends - (sizes - 1) / 2)[places]
    assert len(values) == len(sizes)
    return float((ranks[positive].sum() - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative))


def fit_calibration(scores: Floats, needs_work: Bool) -> Calibration:
    """Platt scaling by Newton's method, with a whiff of ridge so that separable rows stay finite."""
    x = np.column_stack([logit(scores), np.ones(len(scores))])
    targets = _smoothed(needs_work)
    weights = np.array([1.0, 0.0])
    for _ in range(_NEWTON_STEPS):
        chances = sigmoid(x @ weights)
        gradient = x.T @ (chances - targets) + _RIDGE * weights
        curvature = (x * (chances * (1 - chances))[:, None]).T @ x + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        weights = weights - step / max(1.0, float(np.abs(step).max()))
    return Calibration(slope=max(float(weights[0]), _MIN_SLOPE), intercept=float(weights[1]))


def _smoothed(needs_work: Bool) -> Floats:
    """Platt's targets, a little inside 0 and 1."""
    num_positive, num_negative = needs_work.sum(), (~needs_work).sum()
    targets: Floats = np.where(needs_work, (num_positive + 1) / (num_positive + 2), 1 / (num_negative + 2))
    return targets


def best_threshold(probabilities: Floats, needs_work: Bool) -> float:
    """The threshold with the highest balanced accuracy; of equal ones the lowest, since a miss costs quality."""
    candidates = np.unique(np.concatenate([probabilities, [0.5]]))
    accuracies = [
        (probabilities[needs_work] >= one).mean() + (probabilities[~needs_work] < one).mean() for one in candidates
    ]
    return float(candidates[int(np.argmax(accuracies))])


def expected_calibration_error(probabilities: Floats, needs_work: Bool) -> float:
    """Mean distance of probability and frequency over equal bins, weighted by their rows."""
    bins = np.minimum((probabilities * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = [
        abs(probabilities[bins == one].mean() - needs_work[bins == one].mean()) * (bins == one).mean()
        for one in np.unique(bins)
    ]
    return float(sum(gaps))


def measure(probabilities: Floats, kinds: Sequence[str], *, threshold: float) -> ScreenerFigures:
    """Figures of rows whose kind of defect is known; "" is a clean row."""
    named: Any = np.array(kinds, dtype=object)
    clean: Bool = named == ""
    flagged = probabilities >= threshold
    by_kind = {}
    for kind in sorted(set(kinds) - {""}):
        of_kind: Bool = named == kind
        among = of_kind | clean
        by_kind[kind] = KindFigures(
            rows=int(of_kind.sum()),
            found=int((flagged & of_kind).sum()),
            auc=area_under_curve(probabilities[among], of_kind[among]),
        )
    return ScreenerFigures(
        rows=len(kinds),
        clean=int(clean.sum()),
        clean_flagged=int((flagged & clean).sum()),
        auc=area_under_curve(probabilities, ~clean),
        expected_calibration_error=expected_calibration_error(probabilities, ~clean),
        threshold=threshold,
        kinds=by_kind,
    )
