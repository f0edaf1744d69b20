"""Repairs text that was decoded with the wrong encoding, and removes characters that nobody sees.

Knows characters, not markup. Punctuation, quotes and character widths stay as they are: a full-width comma is no fault.
"""

from __future__ import annotations

import codecs
import re

import ftfy

_CONFIG = ftfy.TextFixerConfig(
    unescape_html=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    remove_control_chars=False,
    normalization=None,
    explain=False,
)
_JOINABLE = "\u0590-\u109f\u1780-\u18af\u2600-\u27bf\ufe0f\U0001f000-\U0001faff"
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff"
    "\ufff9-\ufffd\ufffe\uffff\U000e0000-\U000e007f]"
    f"|(?<![{_JOINABLE}])[\u200c\u200d]|[\u200c\u200d](?![{_JOINABLE}])"
)
"""Control, zero-width and replacement characters. Joiners stay inside emoji and scripts that need them."""

_NOT_ASCII_RUN = re.compile(r"[^\x00-\x7f][^\n]*[^\x00-\x7f]")
_CHINESE = re.compile(r"[\x20-\x7e\u00b7\u2014\u2018-\u201d\u2026\u3000-\u303f\u4e00-\u9fff\uff01-\uff5e]+")
_GBK_LEADS = "".join(
    bytes([lead, trail]).decode("gb18030") for lead in range(0xE4, 0xEA) for trail in range(0x80, 0xC0)
)
"""How the first two bytes of a common Chinese character's UTF-8 read in GBK; none is among GBK's 3,755 common ones."""
_READ_AS_GBK = re.compile(f"[{_GBK_LEADS}]")

GATE_RE2 = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x{52f}\x{590}-\x{5ff}\x{180e}\x{200b}-\x{200f}\x{2028}-\x{202e}\x{2060}-\x{206f}"
    r"\x{221a}\x{fdd0}-\x{fdef}\x{feff}\x{fff9}-\x{ffff}\x{e0000}-\x{e007f}" + _GBK_LEADS + "]"
)
"""RE2 pattern of which any text that `repair` changes has a match."""


def repair(text: str) -> str:
    """The text as it was meant: encodings undone, line ends as newlines, invisible characters gone."""
    return _INVISIBLE.sub("", ftfy.fix_text(_undo_gbk(text), _CONFIG))


def _undo_gbk(text: str) -> str:
    """Chinese that was written in UTF-8 and read as GBK (`浣犲ソ` for `你好`), line by line; else the text itself."""
    if not _READ_AS_GBK.search(text):
        return text
    return _NOT_ASCII_RUN.sub(lambda run: _reread(run.group()), text)


def _reread(run: str) -> str:
    try:
        meant, _ = codecs.utf_8_decode(run.rstrip("\ufffd").encode("gb18030"), "strict", False)
    except UnicodeError:
        return run
    return meant if len(meant) > 1 and _CHINESE.fullmatch(meant) else run
