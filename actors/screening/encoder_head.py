"""The encoder backbone's decision on numbers alone: a one-class part and a supervised part behind one score.

The one-class part is a Mahalanobis distance on surface features, fitted on clean rows: it notices damage of a kind that
nobody has seen. The supervised part is a small ensemble of classifiers on the same features and the cosine of question
and answer: it learns meaning. Knows no text and no torch; `encoder_training` fits it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import safetensors.numpy

from actors.screening.features import FEATURE_SPREADS

Floats = npt.NDArray[np.float64]

SHRINKAGE = 0.3
"""Weight of the identity in the covariance: clean rows are few, and features that agree in them need not elsewhere."""
MAX_DEVIATION = 6.0
"""A feature's deviation beyond this many spreads is as good as this many to the supervised part."""
MAX_DISTANCE = 20.0
_COSINE_SCALE, _DISTANCE_SCALE = 4.0, 0.25
"""They bring cosine and distance to the size of the deviations."""
_TINY = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class OneClass:
    """What clean rows look like."""

    center: Floats
    """Medians of the features [F]."""
    spread: Floats
    """Their standard deviations [F], at least FEATURE_SPREADS."""
    precision: Floats
    """Inverse of the shrunken covariance of the deviations [F, F]."""

    @classmethod
    def fit(cls, features: Floats) -> OneClass:
        """Fits clean rows [N, F]."""
        center = np.median(features, axis=0)
        spread = np.maximum(features.std(axis=0), FEATURE_SPREADS)
        deviations = (features - center) / spread
        covariance = deviations.T @ deviations / max(len(features), 1)
        identity = np.eye(features.shape[1])
        precision = np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * identity)
        return cls(center=center, spread=spread, precision=precision)

    def deviations(self, features: Floats) -> Floats:
        """[N, F], in spreads."""
        found: Floats = (features - self.center) / self.spread
        return found

    def distances(self, features: Floats) -> Floats:
        """Mahalanobis distances [N]."""
        found = self.deviations(features)
        # Row by row rather than by a matrix product, whose last bits depend on the number of rows.
        squares = np.einsum("nf,fg,ng->n", found, self.precision, found)
        distances: Floats = np.sqrt(np.maximum(squares, 0.0))
        return distances

    def inputs(self, features: Floats, cosines: Floats) -> Floats:
        """What the supervised part sees [N, F + 2]."""
        bounded = np.clip(self.deviations(features), -MAX_DEVIATION, MAX_DEVIATION)
        distances = np.minimum(self.distances(features), MAX_DISTANCE) * _DISTANCE_SCALE
        return np.column_stack([bounded, cosines * _COSINE_SCALE, distances])


@dataclass(frozen=True, slots=True, kw_only=True)
class Classifiers:
    """E classifiers with one hidden layer of H rectified units; their probabilities are averaged."""

    hidden_weights: Floats
    """[E, F + 2, H]"""
    hidden_bias: Floats
    """[E, H]"""
    output_weights: Floats
    """[E, H]"""
    output_bias: Floats
    """[E]"""

    def probabilities(self, inputs: Floats) -> Floats:
        """[N]"""
        hidden = np.maximum(np.einsum("nf,efh->enh", inputs, self.hidden_weights) + self.hidden_bias[:, None], 0.0)
        logits = np.einsum("enh,eh->en", hidden, self.output_weights) + self.output_bias[:, None]
        mean: Floats = sigmoid(logits).mean(axis=0)
        return mean


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderHead:
    """Both parts, and how far from clean a row must be to count as strange."""

    one_class: OneClass
    classifiers: Classifiers
    strange: Floats
    """[2]: the distance at which strangeness counts half, and by how much more it grows to nine tenths."""

    def scores(self, features: Floats, cosines: Floats) -> Floats:
        """Scores [N] in (0, 1), uncalibrated: a row needs work if the classifiers say so or if it is strange."""
        supervised = self.classifiers.probabilities(self.one_class.inputs(features, cosines))
        middle, width = self.strange
        strangeness = sigmoid((self.one_class.distances(features) - middle) * (np.log(9.0) / width))
        scores: Floats = 1.0 - (1.0 - supervised) * (1.0 - strangeness)
        return scores

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        parts = (self.one_class, self.classifiers)
        arrays = {field.name: getattr(part, field.name) for part in parts for field in fields(part)}
        return safetensors.numpy.save({"strange": self.strange, **arrays})

    @classmethod
    def from_bytes(cls, data: bytes) -> EncoderHead:
        arrays = safetensors.numpy.load(data)
        return cls(
            one_class=OneClass(**{field.name: arrays[field.name] for field in fields(OneClass)}),
            classifiers=Classifiers(**{field.name: arrays[field.name] for field in fields(Classifiers)}),
            strange=arrays["strange"],
        )


def strangeness_of(distances: Floats) -> Floats:
    """`EncoderHead.strange` from the distances of clean rows that the one-class part was not fitted on."""
    usual, rare = np.quantile(distances, [0.5, 0.98]) if len(distances) else (1.0, 3.0)
    width = max(float(rare - usual), 1.0) / 2
    return np.array([rare + width, width], dtype=np.float64)


def sigmoid(values: Floats) -> Floats:
    """Logistic function."""
    result: Floats = 1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0)))
    return result


def logit(probabilities: Floats) -> Floats:
    """Inverse of `sigmoid`, finite at 0 and 1."""
    inside = np.clip(probabilities, _TINY, 1.0 - _TINY)
    result: Floats = np.log(inside) - np.log1p(-inside)
    return result
