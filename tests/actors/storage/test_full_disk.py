"""Which errors mean that there is no room any more."""

from __future__ import annotations

import errno
import sqlite3

import pytest

from actors.storage.full_disk import full_disk_line

FREE = ": free some, then run the same command again, which goes on"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/runs/x"), f"no space is left on a disk (/runs/x){FREE}"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), f"no space is left on a disk{FREE}"),
        (OSError(errno.EIO, "Input/output error"), None),
        (OSError("no number"), None),
        (ValueError("no space left"), None),
        (sqlite3.OperationalError("disk is full"), None),
    ],
)
def test_a_full_disk_and_a_used_up_quota_are_told_from_other_errors(error: Exception, said: str | None) -> None:
    assert full_disk_line(error) == said


def test_what_sqlite_says_of_a_full_disk_is_known_whatever_its_words() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript("PRAGMA max_page_count = 3; CREATE TABLE rows (text)")
    with pytest.raises(sqlite3.OperationalError) as full:
        connection.execute("INSERT INTO rows VALUES (?)", ("x" * 100_000,))
    assert full_disk_line(full.value) == f"no space is left on a disk{FREE}"
    with pytest.raises(sqlite3.OperationalError) as wrong:
        connection.execute("INSERT INTO nowhere VALUES (1)")
    assert full_disk_line(wrong.value) is None
    connection.close()
