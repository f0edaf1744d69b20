"""The fenced blocks of the documents, by what they are in and where they can run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
"""What users read; every block of it is run by a test, or says what it needs that is not here."""
_FENCE = re.compile(r"^```(\S.*?)\n(.*?)^```$", re.M | re.S)


class Block(NamedTuple):
    """One block: `kind` is the language, and behind it what it needs (`console cloud`)."""

    file: str
    kind: str
    text: str


def blocks(*kinds: str) -> list[Block]:
    """The blocks of these kinds in all documents."""
    found = [
        Block(path.relative_to(ROOT).as_posix(), kind, text)
        for path in DOCUMENTS
        for kind, text in _FENCE.findall(path.read_text(encoding="utf-8"))
    ]
    return [block for block in found if not kinds or block.kind in kinds]


def command_lines(*kinds: str) -> list[str]:
    """The lines of the blocks of these kinds, each once, without comments."""
    lines = [re.sub(r"\s+# .*", "", line) for block in blocks(*kinds) for line in block.text.splitlines()]
    return [line for line in dict.fromkeys(lines) if line and not line.startswith("#")]
