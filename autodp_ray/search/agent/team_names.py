"""Reads team names as language models write them, in English or Chinese, into strategies.

Knows spellings and separators. Knows nothing of replies, scores or prompts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from autodp_ray.strategy import NO_PROCESSING, NONE, Strategy, Team
from operators.texts.chinese import simplified

_SPELLINGS: dict[Team, tuple[str, ...]] = {
    Team.CLEANING: ("cleaning", "clean", "cleansing", "cleanup", "cleaner", "清洗", "清理", "清洁"),
    Team.OPTIMIZATION: ("optimization", "optimisation", "optimize", "optimise", "optimizing", "optimizer", "优化"),
    Team.GENERATION: ("generation", "generate", "generating", "generator", "生成"),
    Team.SELECTION: ("selection", "select", "selecting", "selector", "选择", "筛选", "挑选"),
}
_TEAMS = {spelling: team for team, spellings in _SPELLINGS.items() for spelling in spellings}
_NO_PROCESSING = frozenset(
    (
        *(
            NO_PROCESSING,
            "noprocessing",
            "noprocessingneeded",
            "noprocessingrequired",
            "nothing",
            "baseline",
            "original",
        ),
        *(
            "raw",
            "unprocessed",
            "原始",
            "无需处理",
            "不需要处理",
            "不处理",
            "不做处理",
            "无处理",
            "无",
            "基线",
            "不做任何处理",
        ),
    )
)

_WIDE: dict[int, str] = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
_BRACKETS_AND_QUOTES = dict(zip(map(ord, "【】〔〕「」『』“”‘’、"), "[][][][]\"\"'',", strict=True))
_PLAIN: dict[int, str] = {0x3000: " ", 0xA0: " ", **_WIDE, **_BRACKETS_AND_QUOTES}
_ARROWS: dict[int, str] = dict.fromkeys(map(ord, "→⇒➔➜➡⟶⟹↦▶»›|+>"), ",")
_SEPARATORS = re.compile(
    r"[,;\n/]|=>|-+>|\bthen\b|\bfollowed by\b|\band\b|\bnext\b|\bfinally\b|然后|接着|接下来|随后|之后|最后|其次|再|和"
)
_IN_BRACKETS = re.compile(r"\([^()]{0,400}\)")
_BULLET = re.compile(r"^\s*(?:[-*•·]+|\d{1,2}[.):])\s*")
_AROUND = re.compile(
    r"(?P<before>(?:the|data|teams?|first(?:ly)?|use|apply|run|数据|首先|先|进行|由|用)*)(?P<name>.*?)"
    r"(?P<after>(?:teams?|data|operators?|agents?|steps?|stages?|modules?|的?数据|团队|小组|组|步骤|阶段|模块|操作)*)"
)
_REASON = re.compile(r"\s*(?:[:(]|[-–—]{1,2}\s|\bbecause\b|\bto\b|因为|以便)")
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
    parts = (
        split_names(team_head(names))
        if isinstance(names, str)
        else [part for name in names for part in split_names(name)]
    )
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
    text = _BULLET.sub("", simplified(plain(line.replace("&gt;", ">"))).lower())
    text = _SEPARATORS.sub(",", _IN_BRACKETS.sub(" ", text)).translate(_ARROWS)
    return [name.strip() for name in text.split(",") if name.strip(_DECORATION)]


def team_head(line: str) -> str:
    """The team names that a line begins with, where a reason follows them; the whole line where it is none such."""
    text = _BULLET.sub("", simplified(plain(line.replace("->", "→")))).strip(" *_`#")
    found = _REASON.search(text)
    head = text[: found.start()] if found else text
    return head if found and names_teams(head) else line


def names_teams(line: str) -> bool:
    """Whether a line is nothing but names of teams."""
    names = split_names(line)
    return bool(names) and all(team_of(name) for name in names)


def team_of(name: str) -> Team | None:
    """The team that one name stands for, or None."""
    return _TEAMS.get(_bare(name))


def _bare(name: str) -> str:
    """The name in one word, without what says no more than that it is a team: of `Data_Cleaning Team`, `cleaning`."""
    text = _BULLET.sub("", name[:200].strip(_DECORATION).lower())
    word = re.sub(r"[\W_]+", "", text)
    found = _AROUND.fullmatch(word)
    return found["name"] if found else word


def _unknown(name: str, *, teams: Sequence[Team]) -> str:
    nearest = difflib.get_close_matches(_bare(name)[:_QUOTED], _TEAMS, n=1, cutoff=0.75)
    hint = f" (nearest: '{_TEAMS[nearest[0]]}')" if nearest else ""
    return f"unknown team {quoted(name)}{hint}; the teams are {', '.join(teams)}"
