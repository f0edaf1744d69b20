"""Tells that a text breaks off in the midst of a sentence. Knows English and Chinese, and only how texts end."""

from __future__ import annotations

import re

from operators.texts.text import split_units

_MIN_UNITS = 6
_MIN_LINE_UNITS = 6
_END = re.compile(r"[.!?。！？…।॥؟۔؛།༎။።։។៕;；:：)）\]】}」』”\"’'`*_~|>%℃°\d]\s*\Z")
_OPEN_END = re.compile(
    r"(?:[,，、(（\[【{“「—]|[a-zA-Z]-"
    r"|\b(?:the|an|of|and|or|but|because|than|which|whose|their|its|his|your|our|my|these|those|into|such|every|each|between|"
    r"among|with|from|for|although|unless|whether|is a|are a|was a)"
    r"|(?:因为|如果|虽然|以及|例如|比如|其中|但是|而且|并且|和|与|及|或|把|被|将))\s*\Z",
    re.IGNORECASE,
)
_THEN = re.compile(r", (?:then|and|or|but|so|which|while|when|if|because|although)\s*\Z", re.IGNORECASE)
_ITEM = re.compile(r"\s*(?:[-*•·+>|#]|\d{1,3}[.)、]|[a-zA-Z][.)]\s|```|https?://)")
_TAIL = 400


def breaks_off(text: str, *, original: str | None) -> bool:
    """Whether a text ends in the midst of a sentence, which its original does not.

    A text that ends on a comma, an open bracket or such a word as "the" breaks off whatever it replaces. One that ends
    on any other word does where the original ends its last sentence: None, or an original that does not, says nothing.
    """
    tail, before = text.rstrip()[-_TAIL:], (original or "").rstrip()[-_TAIL:]
    if len(split_units(tail)) < _MIN_UNITS:
        return False
    if _is_open(tail) and not _is_open(before):
        return True
    if text.count("```") % 2 and (original or "").count("```") % 2 == 0:
        return True
    return bool(before) and _END.search(before) is not None and _stops_short(tail)


def _is_open(tail: str) -> bool:
    return _OPEN_END.search(tail) is not None or _THEN.search(tail) is not None


def _stops_short(tail: str) -> bool:
    """Whether the last line is a sentence of some length without its end; items of lists and code have none."""
    line = tail.rpartition("\n")[2]
    return _END.search(line) is None and not _ITEM.match(line) and len(split_units(line)) >= _MIN_LINE_UNITS
