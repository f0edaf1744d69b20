"""Reads the paper's text form of an agent's reply, line by line: `###Combination[k]###`, then team names.

Knows headings and markers in English and Chinese. Which names are teams is asked from `team_names`.

Source: LLM-AutoDP, section 6.1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from autodp_ray.search.agent.reply_parts import Draft, ReplyError
from autodp_ray.search.agent.team_names import TeamNames, plain, split_names
from autodp_ray.search.proposal import PolicyDecision
from operators.texts.chinese import simplified

_MAX_LINES = 4_000
_MAX_LINE = 400
_MAX_BLOCKS = 64
_EDGE = r"[^a-z0-9\u4e00-\u9fff]{0,12}"
_WHAT = r"(?:team |strategy |数据处理|团队|策略){0,2}(?:combination|strategy|proposal|pipeline|option|组合|方案|策略)"
_DIGIT = r"\d{1,3}|[一二三四五六七八九十]"
_HEADING = re.compile(
    rf"^{_EDGE}(?:\d{{1,2}}[.)]{_EDGE})?(?:{_WHAT}[ \[(#:*no.]{{0,6}}(?P<number>{_DIGIT})(?![\d.])"
    rf"|第(?P<ordinal>{_DIGIT})(?:种|个|组|套)?{_WHAT})(?P<rest>.*)$"
)
_REASONS = re.compile(
    rf"^{_EDGE}(?:the )?(?:reason|explanation|rationale|(?:选择|组合|不同组合的?)?(?:理由|原因|说明))s?(?P<rest>.*)$"
)
_BEST = re.compile(
    rf"^{_EDGE}(?:final |the )?(?:best (?:team|combination|strategy)|(?:最佳|最优)的?(?:团队|组合|策略|方案)(?:组合)?)"
    r"(?P<rest>.*)$"
)
_NUMBER_OF_BEST = re.compile(r"^\s{0,4}[\[(]?\d{1,2}[\])]?(?=\W|$)")
_BEST_TAG = re.compile(r"\[\s?(?:best team|最佳团队)\s?\]")
_NONE_NEEDED = re.compile(
    rf"^{_EDGE}(?:no processing (?:is )?(?:required|needed)(?: for (?:the )?original data)?|none[ _]needed"
    r"|none|(?:原始)?数据(?:无需|不需要|不必)(?:任何|进行|做)?处理|无需(?:任何)?处理)(?:\]|[^a-z0-9\u4e00-\u9fff]*$)"
)
_ITEM = re.compile(r"\s*(?:[-*•·]|\d{1,2}[.):])")
_LABEL = re.compile(r"^[^:,>]{1,30}:(?=.*\w)")
_CONTINUES = (",", ">", "→", "+")
_CHINESE_DIGITS = "一二三四五六七八九十"


@dataclass(slots=True)
class _Block:
    """A heading's number (0 for the best marker) and the lines of team names under it."""

    number: int
    is_best: bool = False
    lines: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Reading:
    """What has been read so far, from top to bottom."""

    names: TeamNames
    blocks: list[_Block] = field(default_factory=list)
    open: _Block | None = None
    in_reasons: bool = False
    reasons: list[str] = field(default_factory=list)
    none_needed: bool = False


def read_text(text: str, names: TeamNames) -> Draft:
    """The strategies, markers and reasons of a text reply.

    Raises:
        ReplyError: there is no heading, no marker, and no line that is a plain list of teams.
    """
    reading = _Reading(names)
    written = [line for line in text.splitlines() if line.strip()]
    lines = [simplified(plain(line[:_MAX_LINE])).strip() for line in written[-_MAX_LINES:]]
    for line in lines:
        if len(reading.blocks) <= _MAX_BLOCKS:
            _read_line(reading, line)
    if not reading.blocks and not reading.none_needed:
        return _bare_lists(lines, names)
    return _draft_of(reading)


def _read_line(reading: _Reading, line: str) -> None:
    low = line.lower()
    if (heading := _HEADING.match(low)) and not _is_prose(reading, heading):
        _open(reading, _Block(_number(heading)), rest=heading["rest"])
    elif _NONE_NEEDED.match(low):
        reading.none_needed = True
    elif (best := _BEST.match(low)) and not _is_sentence(best["rest"], reading.names):
        _open(reading, _Block(0, is_best=True), rest=_NUMBER_OF_BEST.sub("", best["rest"]))
    elif reason := _REASONS.match(low):
        reading.in_reasons, reading.open = True, None
        reading.reasons.append(reason["rest"].strip(" #*:-[]"))
    elif reading.open is not None:
        _add_names(reading, line)
    elif reading.in_reasons:
        reading.reasons.append(line)


def _is_prose(reading: _Reading, heading: re.Match[str]) -> bool:
    """Whether the line only speaks of a combination: among the reasons, or as the start of a sentence."""
    if reading.in_reasons and _number(heading) in {block.number for block in reading.blocks}:
        return True
    return _is_sentence(heading["rest"], reading.names)


def _is_sentence(rest: str, names: TeamNames) -> bool:
    """Whether what follows a heading's words goes on as prose, as in "Best team so far"."""
    return rest.lstrip()[:1].isalnum() and not names.are_all_of(rest)


def _number(heading: re.Match[str]) -> int:
    number = heading["number"] or heading["ordinal"]
    return int(number) if number.isdecimal() else _CHINESE_DIGITS.index(number) + 1


def _open(reading: _Reading, block: _Block, *, rest: str) -> None:
    reading.in_reasons, reading.open = False, block
    reading.blocks.append(block)
    if _BEST_TAG.search(rest):
        block.is_best, rest = True, _BEST_TAG.sub("", rest)
    inline = rest.strip(" #*:-[]().=_`")
    if inline:
        _add_names(reading, inline)


def _add_names(reading: _Reading, line: str) -> None:
    """The first line under a heading names the teams; later ones only where they clearly go on."""
    block = reading.open
    if block is None:
        return
    goes_on = bool(block.lines) and block.lines[-1].endswith(_CONTINUES)
    names = reading.names
    if not block.lines or goes_on or names.are_all_of(line):
        head = names.head(line)
        body = head if head != line or names.are_all_of(line) else _LABEL.sub("", line)
        block.lines.append(body.strip().rstrip("。"))
    else:
        reading.open = None


def _draft_of(reading: _Reading) -> Draft:
    blocks = [block for block in reading.blocks if not block.is_best]
    best = next((tuple(block.lines) for block in reversed(reading.blocks) if block.is_best and block.lines), None)
    notes: tuple[str, ...] = ()
    decision = PolicyDecision.CONTINUE
    if any(block.is_best for block in reading.blocks):
        decision = PolicyDecision.BEST
    elif reading.none_needed and blocks:
        notes = ("'no processing required' was written beside new strategies; ignored",)
    elif reading.none_needed:
        decision = PolicyDecision.NONE_NEEDED
    return Draft(
        strategies=tuple(tuple(block.lines) for block in blocks),
        decision=decision,
        best=best,
        reasons=" ".join(reading.reasons),
        notes=notes,
    )


def _bare_lists(lines: Sequence[str], names: TeamNames) -> Draft:
    """Lines that are a list of team names, for replies without any heading: alone, with a reason, or in a table.

    A list with an arrow in it is a strategy even where a reason follows. Other names count as items beside such a list,
    or in a reply of nothing else, since they may as well explain the teams.
    """
    found = [(_listed(line, names), line) for line in lines]
    has_order = any(">" in _arrowed(listed) for listed, _ in found)
    all_listed = all(names.are_all_of(line) for line in lines)
    strategies = [
        listed for listed, line in found if listed and (has_order or all_listed or _stands_alone(listed, line, names))
    ]
    if not strategies:
        raise ReplyError("no JSON object and no ###Combination[k]### heading was found in the reply")
    return Draft(
        strategies=tuple(strategies[:_MAX_BLOCKS]), notes=("no JSON and no headings; plain lists of teams were read",)
    )


def _listed(line: str, names: TeamNames) -> str:
    """The team names that a line lists, empty where it is something else."""
    if line.startswith("|"):
        cells = [cell.strip(" *`") for cell in line.strip("|").split("|")]
        named = [cell for cell in cells if names.are_all_of(cell)]
        return named[0] if named and len(split_names(named[0])) > 1 else " > ".join(named)
    if names.are_all_of(line):
        return line
    head = names.head(line)
    return head if head != line and (_ITEM.match(line) or ">" in _arrowed(head)) else ""


def _stands_alone(listed: str, line: str, names: TeamNames) -> bool:
    """Whether names without any arrow in the reply are a strategy: several of them."""
    return len(split_names(listed)) > 1 and (names.are_all_of(line) or line.startswith("|"))


def _arrowed(line: str) -> str:
    return re.sub("->|=>|[→⇒➔➜➡⟶⟹]", ">", line)
