"""Reads team names as language models write them, in English or Chinese, into strategies.

Knows spellings and separators. Knows nothing of replies, scores or prompts.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autodp_ray.strategy import NO_PROCESSING, NONE, PAPER_TEAMS, Strategy, Team
from operators.texts.chinese import simplified

_SPELLINGS: Mapping[Team, tuple[str, ...]] = {
    "cleaning": ("clean", "cleansing", "cleanup", "cleaner", "清洗", "清理", "清洁"),
    "optimization": ("optimisation", "optimize", "optimise", "optimizing", "optimizer", "优化"),
    "generation": ("generate", "generating", "generator", "生成"),
    "selection": ("select", "selecting", "selector", "选择", "筛选", "挑选"),
}
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


def split_names(line: str) -> list[str]:
    """The names in a line, cut at commas, arrows and words such as "then"; notes in round brackets are left out."""
    text = _BULLET.sub("", simplified(plain(line.replace("&gt;", ">"))).lower())
    text = _SEPARATORS.sub(",", _IN_BRACKETS.sub(" ", text)).translate(_ARROWS)
    return [name.strip() for name in text.split(",") if name.strip(_DECORATION)]


def _bare(name: str) -> str:
    """The name in one word, without what says no more than that it is a team: of `Data_Cleaning Team`, `cleaning`."""
    text = _BULLET.sub("", name[:200].strip(_DECORATION).lower())
    word = re.sub(r"[\W_]+", "", text)
    found = _AROUND.fullmatch(word)
    return found["name"] if found else word


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamNames:
    """The teams that may be used, and everything that they, and those that are switched off, may be called."""

    teams: tuple[Team, ...] = PAPER_TEAMS
    spellings: Mapping[str, Team] = field(default_factory=dict)
    """The team of each spelling, in the form that `_bare` gives."""

    @classmethod
    def of(cls, teams: Sequence[Team] = PAPER_TEAMS, further: Mapping[Team, Sequence[str]] | None = None) -> TeamNames:
        """The names of these teams; `further` holds spellings of an author's own."""
        known = {team: (team, *_SPELLINGS.get(team, ())) for team in (*PAPER_TEAMS, *teams)}
        told = {_bare(simplified(plain(name))): team for team, names in (further or {}).items() for name in names}
        return cls(
            teams=tuple(teams), spellings={_bare(name): team for team, names in known.items() for name in names} | told
        )

    def read_strategy(self, names: str | Sequence[str]) -> Strategy:
        """The strategy that a line such as `Data Cleaning Team, 数据优化团队` or a list of names stands for.

        Raises:
            TeamNameError: a name is unknown, switched off or repeated, or there is none.
        """
        lines = [self.head(names)] if isinstance(names, str) else names
        parts = [part for line in lines for part in split_names(line)]
        if not parts:
            raise TeamNameError("names no team")
        if len(parts) == 1 and _bare(parts[0]) in _NO_PROCESSING:
            return NONE
        chosen: list[Team] = []
        for part in parts:
            team = self.team_of(part)
            if team is None:
                raise TeamNameError(self._unknown(part))
            if team not in self.teams:
                raise TeamNameError(f"team '{team}' is switched off")
            if team in chosen:
                raise TeamNameError(f"team '{team}' appears twice; a team may work once in a strategy")
            chosen.append(team)
        return Strategy(tuple(chosen))

    def head(self, line: str) -> str:
        """The team names that a line begins with, where a reason follows them; the whole line where it is none such."""
        text = _BULLET.sub("", simplified(plain(line.replace("->", "→")))).strip(" *_`#")
        found = _REASON.search(text)
        head = text[: found.start()] if found else text
        return head if found and self.are_all_of(head) else line

    def are_all_of(self, line: str) -> bool:
        """Whether a line is nothing but names of teams."""
        names = split_names(line)
        return bool(names) and all(self.team_of(name) for name in names)

    def team_of(self, name: str) -> Team | None:
        """The team that one name stands for, or None."""
        return self.spellings.get(_bare(name))

    def _unknown(self, name: str) -> str:
        nearest = difflib.get_close_matches(_bare(name)[:_QUOTED], self.spellings, n=1, cutoff=0.75)
        hint = f" (nearest: '{self.spellings[nearest[0]]}')" if nearest else ""
        return f"unknown team {quoted(name)}{hint}; the teams are {', '.join(self.teams)}"
