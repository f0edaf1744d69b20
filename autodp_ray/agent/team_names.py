"""Reads team names as language models write them, in English or Chinese, into strategies.

Knows spellings and separators. Knows nothing of replies, scores or prompts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from autodp_ray.strategy import NO_PROCESSING, NONE, Strategy, Team

_SPELLINGS: dict[Team, tuple[str, ...]] = {
    Team.CLEANING: ("cleaning", "clean", "cleansing", "cleanup", "cleaner", "清洗", "清理", "清洁"),
    Team.OPTIMIZATION: ("optimization", "optimisation", "optimize", "optimise", "optimizing", "optimizer", "优化"),
    Team.GENERATION: ("generation", "generate", "generating", "generator", "生成"),
    Team.SELECTION: ("selection", "select", "selecting", "selector", "选择", "筛选", "挑选"),
}
_TEAMS = {spelling: team for team, spellings in _SPELLINGS.items() for spelling in spellings}
_NO_PROCESSING = frozenset({NO_PROCESSING, "no processing", "noprocessing", "原始", "无需处理", "不处理", "无"})

_WIDE: dict[int, str] = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_BRACKETS_AND_QUOTES = dict(zip(map(ord, "【】〔〕「」『』“”‘’、"), "[][][][]\"\"'',", strict=True))
_PLAIN: dict[int, str] = {0x3000: " ", 0xA0: " ", **_WIDE, **_BRACKETS_AND_QUOTES}
_ARROWS: dict[int, str] = dict.fromkeys(map(ord, "→⇒➔➜⟶⟹▶»|+>"), ",")
_SEPARATORS = re.compile(r"[,;\n/]|=>|-+>|\bthen\b|\bfollowed by\b|\band\b|然后|接着|再|和")
_IN_BRACKETS = re.compile(r"\([^()]{0,400}\)")
_BULLET = re.compile(r"^\s*(?:[-*•·]+|\d{1,2}[.):])\s*")
_FILLERS = re.compile(r"\b(?:the|data|teams?)\b|数据|团队|小组|组$")
_DECORATION = " \t\r.,:;!*_#`'\"[](){}<>。-"
_QUOTED = 40


class TeamNameError(ValueError):
    """A list of team names gives no strategy; the message says which name is wrong and why."""


def plain(text: str) -> str:
    """The text with full-width letters, brackets, quotes and spaces as their ASCII forms; same length, linear time."""
    return text.translate(_PLAIN)


def encodable(text: str) -> str:
    """The text with lone surrogates, which JSON can smuggle in and UTF-8 cannot carry, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8")


def quoted(text: str) -> str:
    """The text as a short quotation for messages: one line, clipped."""
    line = " ".join(encodable(text[: 4 * _QUOTED]).split())
    return f"'{line[:_QUOTED]}…'" if len(line) > _QUOTED else f"'{line}'"


def read_strategy(names: str | Sequence[str], *, teams: Sequence[Team]) -> Strategy:
    """The strategy that a line such as `Data Cleaning Team, 数据优化团队` or a list of names stands for.

    Raises:
        TeamNameError: a name is unknown, switched off or repeated, or there is none.
    """
    parts = split_names(names) if isinstance(names, str) else [part for name in names for part in split_names(name)]
    if not parts:
        raise TeamNameError("names no team")
    if len(parts) == 1 and _bare(parts[0]) in _NO_PROCESSING:
        return NONE
    chosen: list[Team] = []
    for part in parts:
        team = team_of(part)
        if team is None:
            raise TeamNameError(_unknown(part, teams=teams))
        if team not in teams:
            raise TeamNameError(f"team '{team}' is switched off")
        if team in chosen:
            raise TeamNameError(f"team '{team}' appears twice; a team may work once in a strategy")
        chosen.append(team)
    return Strategy(tuple(chosen))


def split_names(line: str) -> list[str]:
    """The names in a line, cut at commas, arrows and words such as "then"; notes in round brackets are left out."""
    text = _BULLET.sub("", plain(line.replace("&gt;", ">")).lower())
    text = _SEPARATORS.sub(",", _IN_BRACKETS.sub(" ", text)).translate(_ARROWS)
    return [name.strip() for name in text.split(",") if name.strip(_DECORATION)]


def team_of(name: str) -> Team | None:
    """The team that one name stands for, or None."""
    return _TEAMS.get(_bare(name))


def _bare(name: str) -> str:
    words = _BULLET.sub("", name.strip(_DECORATION).lower())
    return " ".join(_FILLERS.sub(" ", words).split()).strip(_DECORATION)


def _unknown(name: str, *, teams: Sequence[Team]) -> str:
    nearest = difflib.get_close_matches(_bare(name)[:_QUOTED], _TEAMS, n=1, cutoff=0.75)
    hint = f" (nearest: '{_TEAMS[nearest[0]]}')" if nearest else ""
    return f"unknown team {quoted(name)}{hint}; the teams are {', '.join(teams)}"
