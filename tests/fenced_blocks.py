"""The fenced blocks of the documents, by what they are in and where they can run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
"""What users read; every block of it is run by a test, or says what it needs that is not here."""
_FENCE = re.compile(r"^```(\S.*?)\n(.*?)^```$", re.M | re.S)


NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


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
    """The commands of the blocks of these kinds, each once and as one line, without comments."""
    whole = [re.sub(r"\s*\\\n\s*", " ", block.text) for block in blocks(*kinds)]  # a line that ends in \ goes on
    lines = [re.sub(r"\s+# .*", "", line) for text in whole for line in text.splitlines()]
    return [line for line in dict.fromkeys(lines) if line and not line.startswith("#")]


def notebook_code(*, long: bool) -> list[str]:
    """The code cells of the notebook: those with the tag `long`, or those without."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code" and ("long" in cell["metadata"].get("tags", ())) is long
    ]
