"""Decodes the JSON that language models write: strictly where it is JSON, by json_repair where it is nearly so.

Knows JSON, not what it is about. Bounded: what is not well-formed is repaired only where it is short and shallow,
since the repairer takes more time than the text is long, and refuses deep nesting by an error.
"""

from __future__ import annotations

import json
import re

import json_repair

MAX_REPAIR = 20_000
"""Characters of a piece that is repaired."""
_MAX_NESTING = 60
_MAX_BRACKETS = 600

_QUOTE = re.compile(r"[{\[:,，：]\s{0,40}(?P<opening>[\"'“‘「])|(?P<closing>[\"'”’」])(?=\s{0,40}(?:[,，:：}\]`]|\Z))")
"""Quotes at the places where strings of JSON begin and end."""
_CLOSING = {'"': '"”', "'": "'’", "“": '”"', "‘": "’'", "「": "」"}
_AFTER_STRING = re.compile(r"\s{0,40}(?:[,，:：}\]`]|\Z)")
_NEAR = 40

_LATEX = re.compile(
    r"(?<!\\)(?:\\\\)*(\\)(?=(?:b(?:egin|eta|ar|oxed|inom|mod|ullet|ig|old)|f(?:rac|orall|lat|box)|t(?:imes|heta|ext|frac|herefore|riangle|ilde)|r(?:ho|ight|angle|ceil|floor)"
    r"|n(?:abla|eq|eg|otin|mid|exists|leq|geq))|[^\"\\/bfnrtu]|u(?![0-9a-fA-F]{4}))"
)
"""A backslash that starts no escape of JSON but, in all likelihood, a command of LaTeX, as in `\frac`."""


def decode(text: str, *, alone: bool = False) -> object:
    """The JSON value that a text begins with, whatever follows it; where `alone`, nothing may.

    Line breaks in strings are let through, and commands of LaTeX whose backslash was not doubled.

    Raises: ValueError where it begins with none, or where its numbers or its nesting go beyond all use.
    """
    try:
        text = _LATEX.sub(_doubled, text) if "\\" in text else text
        found, end = json.JSONDecoder(strict=False).raw_decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if alone and text[end:].strip():
        raise ValueError("more than one value")
    return found


def repair(piece: str) -> object:
    """What a short piece of nearly JSON means; None where that cannot be told."""
    piece = piece[:MAX_REPAIR]
    if not _is_shallow(piece):
        return None
    try:
        return json_repair.loads(_LATEX.sub(_doubled, piece), skip_json_loads=True)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError, AssertionError):
        return None


def ends_in_string(piece: str) -> bool:
    """Whether a piece of JSON breaks off inside a string; quotes within a string need not be escaped."""
    closing = ""
    for found in _QUOTE.finditer(piece):
        quote, at = piece[found.end() - 1], found.end() - 1
        if not closing:
            closing = _CLOSING[quote] if found["opening"] else ""
        elif quote in closing and not _is_escaped(piece, at) and _AFTER_STRING.match(piece, at + 1):
            closing = ""
    return bool(closing)


def _doubled(found: re.Match[str]) -> str:
    return found[0] + "\\"


def _is_escaped(piece: str, at: int) -> bool:
    before = piece[max(0, at - _NEAR) : at]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _is_shallow(piece: str) -> bool:
    depth = deepest = 0
    for bracket in re.finditer(r"[][{}]", piece):
        depth += 1 if bracket[0] in "{[" else -1
        deepest = max(deepest, depth)
    return deepest <= _MAX_NESTING and piece.count("{") + piece.count("[") <= _MAX_BRACKETS
