"""Symbols that lay a text out over several lines: tables, trees of names, boards, drawings.

Knows nothing of what the text says. Layout is told from noise by what its lines have in common.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby

_DRAWN = re.compile("[\u2500-\u259f]+")
"""Box drawing and blocks."""
_BRANCH = re.compile(r"^[ \t|`+\\/x]*[|`+\\][ \t]*(?:--+|==+|__+)[ \t>]*(?=\w)|^(?:[|][ \t]*)+(?=\w)", re.MULTILINE)
_SEPARATOR = re.compile(r"[\s|+:=-]*[|+][\s|+:=-]*")
_DRAWING = frozenset("/\\|_-()<>^*'.`:=+,#\"~[]{}ºo0Ox")
_MIN_DRAWING_LINES = 3
_MAX_DRAWING_KINDS = 10
_MAX_LETTER_FRAC = 0.5
_MIN_BOARD_LINES = 3
_MIN_CELLS = 3
_MAX_CELL_CHARS = 2
_MAX_BOARD_SIGNS = 4


def is_drawing(text: str) -> bool:
    """Whether a text is a picture of strokes: several lines of few kinds of strokes and hardly a letter."""
    if text.count("\n") + 1 < _MIN_DRAWING_LINES:
        return False
    lines = [line for line in text.split("\n") if line.strip()]
    visible = "".join(text.split())
    if len(lines) < _MIN_DRAWING_LINES or sum(map(str.isalnum, visible)) > _MAX_LETTER_FRAC * len(visible):
        return False
    strokes = {character for character in visible if not character.isalnum()}
    return strokes <= _DRAWING and len(strokes) <= _MAX_DRAWING_KINDS and len(set(lines)) > len(lines) // 2


def without_layout(text: str) -> str:
    """The text with spaces for bars of tables and branches of trees, and with an x in each place of a board."""
    text = _BRANCH.sub(" ", _DRAWN.sub(" x ", text))
    lines = text.split("\n")
    if len(lines) > 1:
        lines = _on_runs(lines, key=_width_in_signs, least=_MIN_BOARD_LINES, change=_filled)
        lines = _on_runs(lines, key=_cells, least=_MIN_BOARD_LINES, change=_filled)
        lines = _on_runs(lines, key=_bars, least=2, change=lambda line: line.replace("|", " "))
        lines = [" " if _SEPARATOR.fullmatch(line) else line for line in lines]
    return "\n".join(lines)


def _on_runs(lines: list[str], *, key: Callable[[str], object], least: int, change: Callable[[str], str]) -> list[str]:
    """Changes the lines of each run of at least `least` lines that share a key; a key that is None is none."""
    changed: list[str] = []
    for shared, run in groupby(lines, key=key):
        group = list(run)
        changed += [change(line) for line in group] if shared is not None and len(group) >= least else group
    return changed


def _bars(line: str) -> int | None:
    """Number of bars of a table's row."""
    return line.count("|") or None


def _cells(line: str) -> int | None:
    """Number of cells of a board's row, each a sign or two."""
    cells = line.split()
    fits = len(cells) >= _MIN_CELLS and max(map(len, cells)) <= _MAX_CELL_CHARS
    return len(cells) if fits else None


def _width_in_signs(line: str) -> tuple[int, bool] | None:
    """Width of a board's row without gaps, of few kinds of signs."""
    stripped = line.strip()
    fits = len(stripped) >= _MIN_CELLS and len(set(stripped)) <= _MAX_BOARD_SIGNS and " " not in stripped
    return (len(stripped), True) if fits else None


def _filled(line: str) -> str:
    return re.sub(r"\S", "x", line)
