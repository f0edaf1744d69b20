"""Where a cache is after a run was moved, copied or mounted elsewhere together with it."""

from __future__ import annotations

import pytest

from actors.storage.moved import moved_along
from actors.storage.storage import Storage


@pytest.mark.parametrize(
    ("cache", "old", "new", "expected"),
    [
        ("/a/cache", "/a/runs/x", "/a/runs/x", "/a/cache"),
        ("/a/cache", "/a/runs/x", "/mnt/b/runs/x", "/mnt/b/cache"),
        ("/a/cache", "/a/runs/x", "/a/runs/y", "/a/cache"),
        ("/elsewhere/cache", "/a/runs/x", "/b/runs/x", "/elsewhere/cache"),
        ("/ab/cache", "/a/runs/x", "/b/runs/x", "/ab/cache"),
        ("/a/cache", "/a/runs/x", "s3://bucket/a/runs/x?region=r", "s3://bucket/a/cache?region=r"),
        ("s3://old/p/cache", "s3://old/p/runs/x", "s3://new/q/runs/x", "s3://new/q/cache"),
        ("s3://old/p%20q/cache", "s3://old/p%20q/runs/x", "/mnt/p q/runs/x", "/mnt/p q/cache"),
        ("s3://***@b/p/cache", "s3://***@b/p/runs/x", "s3://KEY:WORD@b/p/runs/x", "s3://KEY:WORD@b/p/cache"),
        ("/cache", "/runs/x", "/a/runs/x", "/a/cache"),
    ],
)
def test_a_folder_moves_with_the_place_that_it_shares_with_another_and_no_other(
    cache: str, old: str, new: str, expected: str
) -> None:
    assert moved_along(Storage(cache), old=Storage(old), new=Storage(new)) == Storage(expected)
