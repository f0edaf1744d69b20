"""Embeds texts with a sentence-transformers model; what was embedded before is remembered by its content.

Loads the model once per process, when a text is first met that nobody embedded yet. Knows no rows, and of
Ray only whether it gave a GPU.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from actors.models.device import device
from actors.models.source import DEFAULT_EMBEDDER, ResolvedModel, resolve_model
from actors.storage.row_memo import RowMemo

BATCH_SIZE = 32
MEMO_BYTES = 2 * 2**30
_STEP_ROWS = 1024
"""Texts whose embeddings are remembered in one go."""

REQUESTED, EXECUTED = "embeddings:requested", "embeddings:executed"

Matrix = npt.NDArray[np.float32]


class SentenceModel(Protocol):
    """What the embedder asks of a loaded model."""

    def encode(self, texts: list[str]) -> Matrix:
        """Embeddings [N, D], of any norm."""

    @property
    def dim(self) -> int: ...


@dataclass(slots=True)
class EmbeddingUsage:
    """How many texts a process was asked for, and how many of them went through the model."""

    requested: int = 0
    executed: int = 0

    def counts(self) -> dict[str, int]:
        """The counts by the names that results use."""
        return {REQUESTED: self.requested, EXECUTED: self.executed}


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A sentence-transformers model behind the two things that are asked of it."""

    model: Any

    def encode(self, texts: list[str]) -> Matrix:
        made: Matrix = self.model.encode(
            texts, batch_size=BATCH_SIZE, convert_to_numpy=True, normalize_embeddings=True, show_progress_bar=False
        )
        return made

    @property
    def dim(self) -> int:
        return int(self.model.get_embedding_dimension())


def load_model(model: ResolvedModel) -> SentenceModel:
    """The sentence-transformers model, from its folder on this machine."""
    from sentence_transformers import SentenceTransformer

    return _Loaded(SentenceTransformer(model.path, device=device()))


LoadFn = Callable[[ResolvedModel], SentenceModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceEmbedder:
    """Implements the contract's `Embedder`. Plain data until it embeds, so it travels to workers as it is."""

    model: ResolvedModel
    memo: str | None = None
    """The sqlite file of remembered embeddings, on local disk; None remembers nothing."""
    memo_bytes: int = MEMO_BYTES
    load: LoadFn = load_model
    """A module's function, since it travels to workers."""
    counted: EmbeddingUsage = field(default_factory=EmbeddingUsage, compare=False)

    @classmethod
    def of(cls, source: str = DEFAULT_EMBEDDER, *, memo: Path | None = None) -> SentenceEmbedder:
        """The embedder of a model source: `pkg:NAME`, a folder or a hub id.

        Raises: InputError where the model cannot be had.
        """
        model = resolve_model(source)
        path = None if memo is None else str(memo)
        return cls(model=model, memo=path)

    def usage(self) -> EmbeddingUsage:
        """What was asked of it in this process so far, as a copy."""
        return EmbeddingUsage(self.counted.requested, self.counted.executed)

    @property
    def revision(self) -> str:
        """What identifies the model that embeds."""
        return self.model.revision

    def embed(self, texts: Sequence[str]) -> pa.FixedSizeListArray:
        """Unit-norm float32 [N, D]; a text whose embedding is zero stays zero."""
        return as_arrow(self.embed_matrix(texts))

    def embed_matrix(self, texts: Sequence[str]) -> Matrix:
        """The same as a numpy matrix."""
        self.counted.requested += len(texts)
        distinct = list(dict.fromkeys(texts))
        keys = [memo_key(text, revision=self.revision) for text in distinct]
        known = {} if self.memo is None else _memo(self.memo, self.memo_bytes).get(keys)
        missing = [at for at, key in enumerate(keys) if key not in known]
        missing.sort(key=lambda at: len(distinct[at]))  # texts of like length make batches without padding
        for start in range(0, len(missing), _STEP_ROWS):
            step = missing[start : start + _STEP_ROWS]
            made = self._encode([distinct[at] for at in step])
            fresh = {keys[at]: vector for at, vector in zip(step, made, strict=True)}
            known.update(fresh)
            if self.memo is not None:
                _memo(self.memo, self.memo_bytes).put(fresh)
        if not keys:
            return np.empty((0, _loaded(self.load, self.model).dim), dtype=np.float32)
        place = dict(zip(distinct, keys, strict=True))
        return np.stack([known[place[text]] for text in texts])

    def _encode(self, texts: list[str]) -> Matrix:
        self.counted.executed += len(texts)
        with _ONE_AT_A_TIME:
            made = _loaded(self.load, self.model).encode(texts)
        return unit_rows(made)


def memo_key(text: str, *, revision: str) -> str:
    """sha256 of a text and the revision of the model that embeds it."""
    return hashlib.sha256(f"{revision}\x00{text}".encode("utf-8", "surrogatepass")).hexdigest()


def unit_rows(matrix: Matrix) -> Matrix:
    """Rows scaled to norm 1; zero rows stay zero."""
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1, keepdims=True)
    return (matrix / np.where(norms > 0, norms, 1.0)).astype(np.float32)


def as_arrow(matrix: Matrix) -> pa.FixedSizeListArray:
    """The rows of a matrix [N, D] as an Arrow array of fixed-size lists."""
    flat = pa.array(np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])


_ONE_AT_A_TIME = threading.Lock()
"""A model of a process encodes one batch at a time, whichever thread asks."""


@cache
def _loaded(load: LoadFn, model: ResolvedModel) -> SentenceModel:
    return load(model)


@cache
def _memo(path: str, max_bytes: int) -> RowMemo:
    return RowMemo(Path(path), max_bytes=max_bytes, dtype=np.float32)
