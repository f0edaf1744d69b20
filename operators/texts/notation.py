"""Which symbols of a text mean something: formulas, code, gaps, pictures, other notations.

Whatever is understood is replaced by the letter x, so that what is left over can be counted as noise. Layout that needs
more than one line to be seen stands in `operators/texts/layout.py`. Every step is linear in the text.
"""

from __future__ import annotations

import re
from collections import Counter

from operators.texts.layout import is_drawing, without_layout
from operators.texts.text import class_of

_PICTURES = class_of(
    [
        (0xA2, 0xA5),  # currencies
        (0x20A0, 0x20CF),
        (0x2300, 0x23FF),  # technical signs, APL
        (0x2460, 0x24FF),  # enclosed numbers
        (0x2600, 0x2604),
        (0x2607, 0x27BF),  # weather, games, notes, check marks
        (0x2800, 0x28FF),  # Braille
        (0x2B00, 0x2BFF),
        (0x3200, 0x33FF),
        (0x4DC0, 0x4DFF),
        (0x1D000, 0x1D1FF),  # notes
        (0x1F000, 0x1FAFF),
    ]
)
"""Symbols that say something by themselves."""
_ATTACHED = "\ufe0e\ufe0f\u200d\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f"
_PICTURE = re.compile(rf"[{_PICTURES}][{_ATTACHED}]*+")

_MEANT = "\u2190-\u22ff\u27c0-\u27ff\u2900-\u2aff¬±×÷"
"""Arrows and signs of mathematics and logic."""
_SIGNS = re.compile(f"[{_MEANT}]")
_MAX_SIGNS_PER_LETTER = 2

_RUN = r"[-=_*~#.·•…‥─━═―+^]"
_RULER = re.compile(
    rf"(?<!\S)({_RUN})\1{{2,}}+(?!\S)|(?<=[^\W_])({_RUN})\2{{2,}}+(?=[^\W_])"
    r"|(?<!\S)([-=_─])\3{2,}+(?=[^\W_])|(?<=[^\W_])([-=_─])\4{2,}+(?!\S)"
)
_SAME = re.compile(r"([-=_.…·─━])\1{2,}+|(?<![^\W_])(?<![#*~+^])([#*~+^])\2{2,}+")

_OPERATOR = (
    r"(?:<=>|<->|-->|<--|<==|==>|===|!==|\*\*=|//=|<<=|>>=|->|=>|<-|>=|<=|==|!=|<>|~=|:=|::|\?\?|\?\.|\|>|\+=|-=|\*=|/="
    rf"|&&|\|\||\*\*|//|\+\+|--|<<|>>|[-+*/=<>|^&:.%~,;@·−…]|[{_MEANT}])"
)
_STANDING = re.compile(rf"(?<!\S){_OPERATOR}(?!\S)")
_BETWEEN = re.compile(rf"(?<=[^\W_]){_OPERATOR}(?=[^\W_])")
_LONE = re.compile(r"[<>=!&|*/+:?.^~%-]{1,3}")
"""A code operator that is the whole text."""
_LONE_RUN = re.compile(r"([!?.])\1*|([^\s\w=>])\2\2+")
_EMOTICON = re.compile(r"(?<!\S)(?:[:;=8xX]['’]?[-o^]?[()\[\]DPp/\\|*3{}]|\^[_.-]*\^|<3)(?!\S)")
_ESCAPE = re.compile(r"\\(?:[A-Za-z]+\*?|[^\w\s])|<[?%]=?(?=\s)|(?<=\s)[?%]>")
_PATH = re.compile(r"[.*~]*(?:/[.*~]*)+")
_MAX_LONE_CHARS = 12
_CRON = re.compile(r"(?<!\S)[*\d][\d*/,-]*+(?: [*\d][\d*/,-]*+){4,5}(?!\S)")
_GAP = re.compile(r"_+")
_MORSE = re.compile(r"(?<![^\s/|])[.\-·−–]{1,7}(?![^\s/|])")
_MIN_MORSE_FRAC = 0.3
_MIN_SOUP_SYMBOLS = 12
_MAX_SOUP_SAMENESS = 0.055
_MIN_PAIRED_FRAC = 0.25
_BRACKET = re.compile(r"[()\[\]{}]")
_PAIRS = {")": "(", "]": "[", "}": "{"}

_OPENING = r"""["'(\[{<“‘«‹（［｛【《〈「『〔¿¡*#`$￥€&@!|-]"""
_CLOSING = r"""[.,!?;:"')\]}>…”’»›。，、；：？！）］｝】》〉」』〕·%％°℃～—–*`+/-]"""
_ORDINARY = re.compile(rf"{_OPENING}{{0,3}}[^\W_]++{_CLOSING}{{0,3}}|\s+")

_SECOND_SIGNS = "\u00a1-\u00ac\u00ae-\u00bf€‚„…†‡ˆ‰‹‘’“”•–—˜™›"
MISREAD_RE2 = f"[Â-ß][{_SECOND_SIGNS}ŠšŒœŽžŸƒ]|[à-ô][{_SECOND_SIGNS}]{{1,3}}|\ufffd"
"""UTF-8 that was read as Windows-1252, and what could not be read at all."""
MISREAD_SIGNS = f"Â-ô{_SECOND_SIGNS}ŠšŒœŽžŸƒ\ufffd"
"""The characters of it as the inside of a character class."""
_MISREAD = re.compile(MISREAD_RE2)


def count_symbols(text: str) -> tuple[int, int]:
    """Special characters that no notation accounts for, and visible ones; symbols that are understood count once."""
    readable = _MISREAD.sub("", text)
    num_misread = len(text) - len(readable)
    special, visible = _counts(readable)
    return special + num_misread, visible + num_misread


def _counts(text: str) -> tuple[int, int]:
    understood = _CRON.sub("x", _PICTURE.sub("x", text))
    letters = sum(map(str.isalnum, understood))
    if is_drawing(understood):
        return 0, _visible(text)
    if is_soup(text):
        return _noise(understood), _visible(understood)
    if letters or _is_morse(understood) or (_ESCAPE.search(text) and _is_paired(text)):
        understood = _in_words(without_layout(understood), letters=letters)
    elif _is_lone_notation(text.strip()):
        return 0, _visible(text)
    return _noise(understood), _visible(understood)


def _is_lone_notation(text: str) -> bool:
    """Whether a short text without a letter is code, a path, a smiley, or a list of signs such as ticks and crosses."""
    if len(text) > _MAX_LONE_CHARS:
        return False
    signs = text.split()
    listed = len(set(signs)) > 1 and all(map(_STANDING.fullmatch, signs))
    known = _EMOTICON.fullmatch(text) or _PATH.fullmatch(text)
    return bool(known or listed or _is_paired(text) or (_LONE.fullmatch(text) and not _LONE_RUN.fullmatch(text)))


def is_soup(text: str) -> bool:
    """Whether many kinds of symbols stand in a text about equally often, as no notation has them.

    The measure is the chance that two symbols of the text are the same: 0.03 where the 32 symbols of a keyboard are
    drawn at random, 0.06 to 0.3 in code and formulas. A notation of many symbols has brackets that close.
    """
    symbols = Counter(character for character in text if not character.isalnum() and not character.isspace())
    total = symbols.total()
    same = sum(count * (count - 1) for count in symbols.values())
    if total < _MIN_SOUP_SYMBOLS or same >= _MAX_SOUP_SAMENESS * total * (total - 1):
        return False
    return not _is_paired(text)


def _is_paired(text: str) -> bool:
    """Whether brackets with their partners are a good part of a text's symbols, escaped ones aside."""
    bare = _ESCAPE.sub("", text)
    symbols = sum(not character.isalnum() and not character.isspace() for character in bare)
    paired = sum(left != right for left, right in zip(bare, _without_pairs(bare), strict=True))
    return paired >= _MIN_PAIRED_FRAC * symbols


def _noise(text: str) -> int:
    """Characters that are neither space nor part of a word with its punctuation."""
    return len(_ORDINARY.sub("", text))


def _visible(text: str) -> int:
    return len("".join(text.split()))


def _in_words(text: str, *, letters: int) -> str:
    """A text that has words, or Morse, with an x in place of each symbol that it needs."""
    if _is_morse(text):
        text = _MORSE.sub("x", text)
    text = _EMOTICON.sub("x", _ESCAPE.sub("x", text))
    text = _SAME.sub("-", _RULER.sub("x", text))
    text = _BETWEEN.sub("x", _STANDING.sub("x", _without_pairs(_GAP.sub("x", text))))
    return _SIGNS.sub("x", text, count=_MAX_SIGNS_PER_LETTER * letters) if letters else text


def _is_morse(text: str) -> bool:
    """Whether many of a text's words are dots and dashes, of more than one kind."""
    found, words = _MORSE.findall(text), text.replace("/", " ").replace("|", " ").split()
    if len(found) == len(words):
        return len(found) > 1 and len(set("".join(found))) > 1
    return len(set(found)) > 2 and len(found) >= _MIN_MORSE_FRAC * len(words)


def _without_pairs(text: str) -> str:
    """The text with an x for each bracket that has its partner."""
    waiting: dict[str, list[int]] = {"(": [], "[": [], "{": []}
    characters = list(text)
    for found in _BRACKET.finditer(text):
        at, bracket = found.start(), found.group()
        if bracket in waiting:
            waiting[bracket].append(at)
        elif waiting[_PAIRS[bracket]]:
            characters[at] = characters[waiting[_PAIRS[bracket]].pop()] = "x"
    return "".join(characters)
