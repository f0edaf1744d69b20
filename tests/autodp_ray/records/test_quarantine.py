"""The quarantine: written whole, counted by reason, silent about content."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from actors.storage.storage import Storage
from autodp_ray.records.formats.raw_rows import BadRow
from autodp_ray.records.quarantine import QUARANTINE_FILE, Quarantine, ReasonCounts


def bad(line: int, reason: str = "invalid JSON", raw: str = "{") -> BadRow:
    return BadRow(source="a.jsonl", line=line, reason=reason, raw=raw)


def test_rows_are_written_with_source_line_reason_and_raw_text(tmp_path: Path) -> None:
    with Quarantine(Storage.at(tmp_path / "quarantine")) as quarantine:
        quarantine(bad(3, raw="问 {"))
        quarantine(bad(5, reason="empty row", raw="\udcff"))
    lines = (tmp_path / "quarantine" / QUARANTINE_FILE).read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0]) == {"source": "a.jsonl", "line": 3, "reason": "invalid JSON", "raw": "问 {"}
    assert json.loads(lines[1])["raw"] == "\udcff"
    assert "问" in lines[0]


def test_rows_are_counted_by_reason(tmp_path: Path) -> None:
    quarantine = Quarantine(Storage.at(tmp_path))
    counts = ReasonCounts()
    for row in (bad(1), bad(2, reason="empty row"), bad(3)):
        quarantine(row)
        counts(row)
    quarantine.close()
    assert quarantine.counts == counts.counts == {"empty row": 1, "invalid JSON": 2}
    assert quarantine.num_rows == 3


def test_the_file_appears_whole_and_even_after_a_fault(tmp_path: Path) -> None:
    folder = Storage.at(tmp_path)
    with suppress(RuntimeError), Quarantine(folder) as quarantine:
        quarantine(bad(1))
        assert folder.names() == []
        raise RuntimeError("a fault")
    assert folder.names() == [QUARANTINE_FILE]


def test_no_bad_row_leaves_no_file(tmp_path: Path) -> None:
    with Quarantine(Storage.at(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []
