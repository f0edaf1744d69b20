"""Arrays by key in one bounded file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actors.row_memo import RowMemo


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


def test_a_memo_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite"
    path.write_bytes(b"no database" * 100)
    memo = RowMemo(path, max_bytes=10_000)
    assert memo.get(["a"]) == {}
    assert [one for one in tmp_path.iterdir() if "corrupt" in one.name]
    memo.close()
