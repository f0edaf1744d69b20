"""Strings that some tokenizer takes for a control token, made harmless where row text enters a prompt.

Whose tokenizer reads a prompt is not known: any endpoint may. A word joiner (U+2060, not shown) after the first
character keeps the string readable for the model and makes it plain text for every tokenizer. A row that has joiners
there already gets one more, so that undoing takes away exactly what was added.
"""

from __future__ import annotations

import re

_JOINER = "\u2060"
_WORDS = (
    r"s|bos|eos|pad|unk|mask|cls|sep|eot|eod|eom|eop|sop|gmask|smask|im_\w{1,20}|system|user|assistant|human|bot|tool|"
    r"function|observation|instruction|think|thinking|answer|image|img|audio|video|box|quad|ref|object|code|"
    r"tools?(?:_\w{1,30})?|fim_\w{1,20}|\w{1,30}_of_\w{1,30}|(?:unused|reserved|extra|special)\w{0,40}|"
    r"[a-z]{1,12}:\w{1,20}|jupyter_\w{1,20}|file_?sep|filename|gh_stars|repo_?name|reponame|empty_output|"
    r"endoftext|startoftext|beginoftext|pad_token|0x[0-9a-f]{2}"
)


def _openings(joiners: str) -> str:
    """The first characters of control tokens, as a pattern, where so many joiners follow."""
    after = f"{_JOINER}{{{joiners}}}"
    return (
        rf"[<＜](?={after}[|｜∣][^<>＜＞|｜\n]{{1,60}}[|｜∣][>＞])"
        rf"|(?i:[<＜](?={after}[/／]?(?:{_WORDS})\s?/?[>＞]))"
        rf"|<(?={after}</?SYS>>)"
        rf"|\[(?={after}/?(?:[A-Z][A-Z_]{{2,30}}\]|[gs]MASK\]|control_\d{{1,4}}\]|e~\[))"
        rf"|\](?={after}~!?b[\[\]])"
    )


_OPENING = re.compile(_openings("0,"))
_ESCAPED = re.compile(f"(?:{_openings('1,')}){_JOINER}")


def escape_control_tokens(text: str) -> str:
    """The text with every string that may be a control token made plain text."""
    return _OPENING.sub(lambda found: found[0] + _JOINER, text)


def unescape_control_tokens(text: str) -> str:
    """What `escape_control_tokens` was given."""
    return _ESCAPED.sub(lambda found: found[0][:-1], text) if _JOINER in text else text
