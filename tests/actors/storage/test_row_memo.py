"""Arrays by key in one bounded file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actors.storage.row_memo import RowMemo


def test_the_memo_forgets_the_oldest_rows_beyond_its_bound(tmp_path: Path) -> None:
    memo = RowMemo(tmp_path / "m.sqlite", max_bytes=10_000)
    arrays = {f"k{at}": np.full(1000, at, dtype=np.float16) for at in range(8)}
    for key, one in arrays.items():
        memo.put({key: one})
        memo.get(["k0"])
    found = memo.get(list(arrays))
    assert {"k0", "k7"} <= set(found)
    assert len(found) <= 4
    assert all((one == arrays[key]).all() for key, one in found.items())
    memo.close()


def test_arrays_come_back_in_the_type_of_the_memo(tmp_path: Path) -> None:
    memo = RowMemo(tmp_path / "m.sqlite", max_bytes=10_000, dtype=np.float32)
    memo.put({"k": np.array([0.1, 2.5], dtype=np.float64)})
    (found,) = memo.get(["k", "absent"]).values()
    assert found.dtype == np.float32
    assert found.tolist() == np.array([0.1, 2.5], dtype=np.float32).tolist()
