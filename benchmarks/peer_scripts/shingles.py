"""Shingles made in Python, for libraries that leave these to their user: three words, or four characters of Chinese."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_WORDS, _CHARACTERS = 3, 4


def shingles(text: str, language: str) -> list[str]:
    """The shingles of a text, equal ones as often as they occur; a short text is one."""
    words = _WORD.findall(text.casefold())
    if language == "chinese":
        joined = "".join(words)
        return [joined[at : at + _CHARACTERS] for at in range(max(1, len(joined) - _CHARACTERS + 1))]
    return [" ".join(words[at : at + _WORDS]) for at in range(max(1, len(words) - _WORDS + 1))]
