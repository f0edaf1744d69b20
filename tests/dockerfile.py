"""The image's recipe as stages of instructions, read from the Dockerfile."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENV", "FROM", "RUN", "USER", "WORKDIR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One `FROM`, and the instructions after it."""

    name: str
    base: str
    lines: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        return [text for word, text in self.lines if word == instruction]


def stages() -> Mapping[str, Stage]:
    """By name, in their order."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M))
    found: dict[str, Stage] = {}
    for line in filter(None, text.splitlines()):
        word, rest = line.split(maxsplit=1)
        assert word in INSTRUCTIONS
        if word == "FROM":
            base, as_word, name = rest.split()
            assert as_word == "AS"
            last = found[name] = Stage(name=name, base=base, lines=())
        else:
            last = found[last.name] = Stage(name=last.name, base=last.base, lines=(*last.lines, (word, rest)))
    return found
