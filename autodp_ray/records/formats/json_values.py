"""One JSON value at a time, and why text is none: what a parser alone would change or lose is a fault here.

A key twice in an object, a number that becomes infinite, half of a surrogate pair and nesting that nothing downstream
can walk are faults. None of the reasons quotes the text.
"""

from __future__ import annotations

import json
import math
import re

MAX_DEPTH = 200
"""Lists and objects within each other; Python's own limit is near 1,000 calls."""
INVALID = "invalid JSON"
TWICE = "a key twice in one object"
TOO_LARGE = "a number larger than 64-bit floating point holds"
TOO_DEEP = f"nested more than {MAX_DEPTH} deep"
HALF_PAIR = "half of a surrogate pair, which is no Unicode"
NOT_TEXT = "invalid UTF-8"

_FROM_BYTES = re.compile("[\udc80-\udcff]")
_HALF_ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
_NEAR_END = 12
"""Characters at the end of a window in which a fault may be a value that is cut there, as `fals` or `\\ud8`."""


class JsonFault(ValueError):
    """Text that is no value, with the reason. `end` is where it ends, None where that cannot be told; `is_cut` says
    that more text might mend it."""

    def __init__(self, reason: str, *, end: int | None = None, is_cut: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.end = end
        self.is_cut = is_cut


class _Altered(Exception):
    """The parser would lose something of valid JSON; the message is the reason."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Altered(TWICE)
    return found


def _finite(digits: str) -> float:
    found = float(digits)
    if math.isinf(found):
        raise _Altered(TOO_LARGE)
    return found


_strict = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite).raw_decode
_plain = json.JSONDecoder().raw_decode


def decode_value(text: str, at: int, *, not_text: str = NOT_TEXT) -> tuple[object, int]:
    """The value that starts at `at`, and where it ends; `not_text` is the reason for bytes that are no characters.

    Raises: JsonFault.
    """
    try:
        value, end = _strict(text, at)
    except _Altered as altered:
        raise _of_altered(text, at, str(altered)) from None
    except RecursionError:
        raise _of_deep(text, at) from None
    except ValueError as error:
        raise _of_invalid(text, error) from None
    raw = text[at:end]
    if len(raw) > 2 * MAX_DEPTH and raw.count("[") + raw.count("{") > MAX_DEPTH and _is_deep(value):
        raise JsonFault(TOO_DEEP, end=end)
    if _has_half_pair(raw):
        raise JsonFault(not_text if _FROM_BYTES.search(raw) else HALF_PAIR, end=end)
    if "\\" in raw and _HALF_ESCAPED.search(raw) and _has_half_pair(json.dumps(value, ensure_ascii=False)):
        raise JsonFault(HALF_PAIR, end=end)
    return value, end


def _has_half_pair(text: str) -> bool:
    """Whether half of a surrogate pair stands in a text: it alone cannot be encoded."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _of_altered(text: str, at: int, reason: str) -> JsonFault:
    try:
        _, end = _plain(text, at)
    except RecursionError:
        return _of_deep(text, at)
    except ValueError as error:
        return _of_invalid(text, error)
    return JsonFault(reason, end=end)


def _of_deep(text: str, at: int) -> JsonFault:
    end = _end_of_deep(text, at)
    return JsonFault(INVALID if end is None else TOO_DEEP, end=end, is_cut=end is None)


def _of_invalid(text: str, error: ValueError) -> JsonFault:
    if not isinstance(error, json.JSONDecodeError):
        return JsonFault(INVALID)  # an integer of more digits than Python reads
    is_open = error.msg.startswith("Unterminated string")
    return JsonFault(INVALID, is_cut=is_open or error.pos >= len(text) - _NEAR_END)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            item
            for one in level
            if isinstance(one, dict | list)
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


_STRUCTURE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)


def _end_of_deep(text: str, at: int) -> int | None:
    """Where the brackets of a value that is too deep to be parsed are closed."""
    depth = 0
    for found in _STRUCTURE.finditer(text, at):
        token = found.group()
        depth += (token in "[{") - (token in "]}")
        if depth == 0:
            return found.end()
    return None
