"""Tells sketches of this version of the code from those that another one made: they are compared with no others."""

from __future__ import annotations

import hashlib
from dataclasses import fields

import numpy as np
import pyarrow as pa

from operators.likeness.hashed_sets import HashedSets
from operators.likeness.row_sketches import sketch_rows
from operators.rows.record import RECORD_SCHEMA

_LONG = "Anna took 20 mg in the morning and not in the evening, with a large glass of water, every day for two weeks. "
_LONG_ZH = "每天早上服用两片，饭后用温水送服，连续服用十四天，不要在晚上服用，如有不适请立即停药并咨询医生。"
_SYSTEM = [{"role": "system", "content": "Be brief."}]
_TURNS = [*_SYSTEM, {"role": "user", "content": f"{_LONG}Is that enough?"}, {"role": "assistant", "content": _LONG_ZH}]
_ROWS: list[dict[str, object]] = [
    {"history": [], "question": "What helps?", "answer": _LONG},
    {"history": _TURNS, "question": f"{_LONG_ZH}\n{_LONG}\nHow?", "answer": f"{_LONG_ZH} take Ibuprofen 3.5 ml"},
    {"history": _SYSTEM, "question": "为什么?", "answer": None},
]


def sketch_mark(*, num_perm: int, seed: int) -> str:
    """A digest of the sketches of some fixed rows: another one means that sketches differ."""
    rows = [{"id": str(at), "origin": "source", **row} for at, row in enumerate(_ROWS)]
    sketches = sketch_rows(pa.Table.from_pylist(rows, schema=RECORD_SCHEMA), num_perm=num_perm, seed=seed)
    digest = hashlib.sha256()
    for field in fields(sketches):
        value = getattr(sketches, field.name)
        for array in (value.values, value.offsets) if isinstance(value, HashedSets) else (value,):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
