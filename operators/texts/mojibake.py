"""Repairs text that was decoded with the wrong encoding, and removes characters that nobody sees.

Knows characters, not markup. Punctuation, quotes and character widths stay as they are: a full-width comma is no fault.
Joiners, direction marks and zero-width spaces stay where a script or an emoji needs them.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache
from itertools import islice

import ftfy
from ftfy import badness, chardata, fixes

from operators.texts.text import RECENT_TEXTS, folded, holds_any

_CONFIG = ftfy.TextFixerConfig(
    unescape_html=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    remove_control_chars=False,
    fix_c1_controls=False,
    decode_inconsistent_utf8=False,
    normalization=None,
    explain=False,
)
_MAX_CALLS = 5_000
"""Damaged lines, and different damaged spots, that are repaired one by one: each takes 20 microseconds."""

_MAX_TALK = 3_000

_JOINABLE = (
    "\u0590-\u109f\u1780-\u18af\u1a20-\u1aaf\u1b00-\u1c4f\u1cd0-\u1cff\ua8e0-\ua8ff\ua980-\ua9df\uaa00-\uaaff"
    "\u2190-\u21ff\u2300-\u23ff\u2600-\u27bf\u2b00-\u2bff\ufb50-\ufdff\ufe0f\ufe70-\ufefc"
    "\U0001f000-\U0001faff\U00010a00-\U00011fff"
)
_UNSPACED = "\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua980-\ua9df\uaa60-\uaa7f"
"""Scripts that mark the ends of words by zero-width spaces."""
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_DIRECTIONS = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_PAGE_BREAK = re.compile(r"(?<=\S)[\x0b\x0c](?=\S)")
_FLAG = "\U0001f3f4[\U000e0020-\U000e007e]{1,16}\U000e007f"
"""The flag of a part of a country, such as Scotland: a black flag spelled out by tag characters."""
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u2060-\u2065\u206a-\u206f\ufdd0-\ufdef\ufeff\ufff9-\uffff"
    "\U000e0000-\U000e007f"
)
_INVISIBLE = (
    f"[{_UNSEEN}\u200b-\u200d](?:(?<=[{_UNSEEN}])"
    f"|(?<=(?<![{_UNSPACED}])\u200b)|(?<=\u200b)(?!\u200b*+[{_UNSPACED}])"
    f"|(?<=\u200c\u200c)|(?<=\u200d\u200d)|(?<=(?<![{_JOINABLE}])[\u200c\u200d])(?![{_JOINABLE}]))"
)
"""Control, zero-width and replacement characters. Of equal zero-width spaces or joiners in a row the first one stays,
and a joiner beside one letter of its script does: it shows that letter's form at an end of a word. As each begins with
one of a class, a search passes over the rest."""
_REMOVED = re.compile(_INVISIBLE)
_REMOVED_BESIDE_FLAGS = re.compile(f"({_FLAG})|{_INVISIBLE}")

_NOT_ASCII_RUN = re.compile(r"[^\x00-\x7f](?:[^\n]*[^\x00-\x7f])?")
_CHINESE = re.compile(r"[\x20-\x7e\u00b7\u2014\u2018-\u201d\u2026\u3000-\u303f\u4e00-\u9fff\uff01-\uff5e]+")
_GBK_LEADS = "".join(
    bytes([lead, trail]).decode("gb18030") for lead in range(0xE4, 0xEA) for trail in range(0x80, 0xC0)
)
"""How the first two bytes of a common Chinese character's UTF-8 read in GBK; none is among GBK's 3,755 common ones."""
_READ_AS_GBK = re.compile(f"[{_GBK_LEADS}]")
_SHORT_RUN = 3
"""So many traditional characters may be UTF-8 in GBK by chance (`鏈結`); then what they mean must be common Chinese."""
_C1 = {code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0) if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}

_HAS_C1 = re.compile("[\x80-\x9f]")

_TALK = re.compile(
    r"\b(?:mojibake|(?:character|text|file|page|wrong|windows|byte) encodings?|utf-?8|utf-?16|latin-?1|iso-?8859|"
    r"windows-?125\d|cp125\d|charset|unicode|code ?points?|gb(?:k|2312|18030)|zero-width|invisible characters?|"
    r"control characters?|garbled|byte order mark)\b"
    r"|乱码|编码|解码|字符集|零宽|控制字符",
    re.IGNORECASE,
)

_WORDS_OF_TALK = (
    *("mojibake", "encoding", "utf", "latin1", "latin-1", "8859", "125", "charset", "unicode", "code point"),
    *("codepoint", "gbk", "gb2312", "gb18030", "zero-width", "invisible character", "control character"),
    *("garbled", "byte order", "乱码", "编码", "解码", "字符集", "零宽", "控制字符"),
)
"""Of which one is in any text with a match of `_TALK`."""
_PIECE = re.compile(r"\[(?:\\.|[^\]])*\]|\\.|#[^\n]*|.", re.DOTALL)
_WIDER = {r"\w": "(?s:.)", r"\s": "(?s:.)", ".": "(?s:.)", "^": ""}


def _badness_re2() -> str:
    """ftfy's pattern of misread text for RE2, without layout and in wider classes: it matches more, never less."""
    pieces: list[str] = _PIECE.findall(badness.BADNESS_RE.pattern)
    return "".join(_WIDER.get(piece, piece) for piece in pieces if not piece.isspace() and piece[0] != "#")


def _misread_signs() -> str:
    """The characters beyond ASCII that ftfy's pattern names, but for quotes and dashes: no match is without one."""
    named = re.findall(r"[^\x00-\x7f](?:-[^\x00-\x7f])?", badness.BADNESS_RE.pattern)
    signs = {chr(point) for part in named for point in range(ord(part[0]), ord(part[-1]) + 1)}
    categories = badness.MOJIBAKE_CATEGORIES
    return "".join(sorted(signs - {*categories["start_punctuation"], *categories["end_punctuation"]}))


_LONGEST_MISREADING = 8
"""Characters; no alternative of ftfy's pattern takes more."""
_SIGNS = f"[{_misread_signs()}]"
_MAY_BE_MISREAD = re.compile(_SIGNS)
"""Of which any line that ftfy calls bad has a match."""
_SIGNS_TOGETHER = re.compile(f"{_SIGNS}(?:[^\n]{{0,{2 * _LONGEST_MISREADING}}}{_SIGNS})*+")
"""Signs that are so near that to search around each of them would search some places twice."""

GATE_RE2 = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\x{180e}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}"
    r"\x{fdd0}-\x{fdef}\x{feff}\x{fff9}-\x{ffff}\x{e0000}-\x{e007f}" + _GBK_LEADS + "]|" + _badness_re2()
)
"""RE2 pattern of which any text that `repair` changes has a match."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_UNUSUAL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\uffff"
    "\U000e0000-\U000e007f]"
)
"""Characters without which a text has nothing to take out, nor to write in another way."""


@lru_cache(maxsize=RECENT_TEXTS)
def speaks_of_encodings(text: str) -> bool:
    """Whether a text speaks about encodings at its beginning or end: then garbled characters may be its subject."""
    if len(text) > 2 * _MAX_TALK:
        text = f"{text[:_MAX_TALK]} {text[-_MAX_TALK:]}"
    return holds_any(folded(text), _WORDS_OF_TALK) and _TALK.search(text) is not None


def repair(text: str) -> str:
    """The text as it was meant: encodings undone, line ends as newlines, invisible characters gone."""
    if text.isascii() and not _CONTROL.search(text):
        return text
    text = _undo_misreading(_undo_gbk(fixes.remove_terminal_escapes(text)))
    if not _UNUSUAL.search(text):
        return text
    text = fixes.fix_surrogates(fixes.fix_line_breaks(text))
    return remove_invisible(text.translate(_C1) if _HAS_C1.search(text) else text)


def remove_invisible(text: str) -> str:
    """The text without characters that nobody sees and no script needs; a page break inside a word is a line break."""
    text = _PAGE_BREAK.sub("\n", text)
    has_flag = "\U0001f3f4" in text
    text = _REMOVED_BESIDE_FLAGS.sub(lambda found: found[1] or "", text) if has_flag else _REMOVED.sub("", text)
    return text if _RIGHT_TO_LEFT.search(text) else _DIRECTIONS.sub("", text)


def _undo_misreading(text: str) -> str:
    """What was written in UTF-8 and read in a single-byte encoding: whole lines, then spots within lines."""
    if not _MAY_BE_MISREAD.search(text):
        return text
    lines = text.split("\n")
    bad = list(islice((at for at, line in enumerate(lines) if is_misread(line)), _MAX_CALLS + 1))
    if not bad:
        return text
    if len(bad) > _MAX_CALLS:
        lines, bad = [text], [0]
    for at in bad:
        lines[at] = ftfy.fix_encoding(lines[at], _CONFIG)
    return _undo_spots("\n".join(lines))


def is_misread(line: str) -> bool:
    """What ftfy's `is_bad` says of a line; only the surroundings of signs are searched."""
    room = _LONGEST_MISREADING
    for signs in _SIGNS_TOGETHER.finditer(line):
        if badness.BADNESS_RE.search(line, max(0, signs.start() - room), signs.end() + room):
            return True
    return False


def _undo_spots(text: str) -> str:
    """Misread characters between well-read ones, which ftfy's search repairs; each different one is looked at once."""
    known: dict[str, str] = {}

    def meant(spot: re.Match[str]) -> str:
        garbled = spot.group()
        if garbled not in known:
            known[garbled] = _undo_spot(garbled) if len(known) < _MAX_CALLS else garbled
        return known[garbled]

    found: str = chardata.UTF8_DETECTOR_RE.sub(meant, text)
    return found


def _undo_spot(garbled: str) -> str:
    return str(ftfy.fix_encoding(garbled, _CONFIG)) if badness.is_bad(garbled) else garbled


def _undo_gbk(text: str) -> str:
    """Chinese that was written in UTF-8 and read as GBK (`浣犲ソ` for `你好`), line by line; else the text itself."""
    if not _READ_AS_GBK.search(text):
        return text
    return _NOT_ASCII_RUN.sub(lambda run: _reread(run.group()), text)


def _reread(run: str) -> str:
    try:
        meant, _ = codecs.utf_8_decode(run.rstrip("\ufffd").encode("gb18030"), "strict", False)
        if len(run) <= _SHORT_RUN and len(meant.encode("gb2312")) < 2 * len(meant):
            return run
    except UnicodeError:
        return run
    return meant if len(meant) > 1 and _CHINESE.fullmatch(meant) else run
