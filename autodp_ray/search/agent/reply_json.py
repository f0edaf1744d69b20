"""Finds and reads the JSON in an agent's reply: fenced, inside prose, or slightly broken.

Knows JSON and the keys that models use. Does not know which teams exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from autodp_ray.search.agent.reply_parts import Draft
from autodp_ray.search.agent.team_names import plain
from autodp_ray.search.proposal import PolicyDecision
from operators.replies.loose_json import decode, repair
from operators.texts.chinese import simplified

_STRATEGIES = ("strategies", "combinations", "proposals", "strategy", "pipelines", "策略", "组合", "方案", "团队组合")
_BEST = (
    "best",
    "best_strategy",
    "best_team",
    "best_combination",
    "最佳",
    "最佳策略",
    "最佳团队",
    "最佳组合",
    "最优策略",
)
_DECISION = ("decision", "action", "决策", "决定")
_REASONS = ("reasons", "reason", "reasoning", "explanation", "理由", "原因", "说明")
_TEAM_LISTS = (
    *(
        "teams",
        "pipeline",
        "strategy",
        "combination",
        "order",
        "sequence",
        "steps",
        "团队",
        "策略",
        "组合",
        "流程",
        "步骤",
    ),
    *("team", "name", "名称"),
)
_TELLING = frozenset((*_STRATEGIES, *_BEST, *_DECISION))
_NUMBERED = re.compile(
    r"(?:team[_ ])?(?:combination|strategy|proposal|pipeline|option|组合|方案|策略)s?"
    r"[_ \[#(]{0,2}(?:\d{1,2}|[一二三四五六])[\])]?"
    r"|第(?:\d{1,2}|[一二三四五六])(?:种|个|组)?(?:团队)?(?:组合|方案|策略)"
)
"""Keys that are a heading each, as in {"Combination 1": [...]}."""

_WORDS = sorted(_TELLING, key=len, reverse=True)
_ANCHOR = re.compile(rf"(?<![a-z])(?:{'|'.join(_WORDS)}|{_NUMBERED.pattern})[\"']?\s{{0,20}}:", re.IGNORECASE)
_MAX_ANCHORS = 12
_MAX_BRACES = 4
_MAX_PIECE = 16_000
"""Characters of one JSON object that are read."""
_MAX_REPAIRS = 4
_MAX_REPAIR = 4_000

_Json = Mapping[str, object] | Sequence[object]


def find_objects(text: str) -> Iterator[_Json]:
    """JSON objects that have a telling key, and lists that are a whole reply or fence; the last in the text first.

    Well-formed ones come before repaired ones.
    """
    starts = _object_starts(simplified(plain(text)))
    well_formed = [found for start in starts if (found := _decode(text[start : start + _MAX_PIECE])) is not None]
    yield from well_formed
    yield from _whole_lists(text)
    for start in starts[:_MAX_REPAIRS]:
        found = _repair(text[start : start + _MAX_REPAIR])
        if found is not None:
            yield found


def read_object(found: _Json) -> Draft | None:
    """What the object says, or None when it is not an answer to the question that was asked."""
    if not isinstance(found, Mapping):
        return Draft(strategies=_strategies(found)) if found else None
    keys = {_key(key): value for key, value in found.items()}
    numbered = [value for key, value in keys.items() if _NUMBERED.fullmatch(key)]
    if not _TELLING & keys.keys() and not numbered:
        return None
    reasons = _first(keys, _REASONS)
    return Draft(
        strategies=_strategies(_first(keys, _STRATEGIES)) or _strategies(numbered),
        decision=_decision(_first(keys, _DECISION)),
        best=_names(_first(keys, _BEST)),
        reasons=reasons if isinstance(reasons, str) else "",
    )


def _object_starts(text: str) -> list[int]:
    """Where the objects around the last telling keys may begin, the likeliest first."""
    starts: list[int] = []
    for anchor in [match.start() for match in _ANCHOR.finditer(text)][-_MAX_ANCHORS:][::-1]:
        brace = anchor
        for _ in range(_MAX_BRACES):
            brace = text.rfind("{", max(0, brace - _MAX_PIECE), brace)
            if brace < 0:
                break
            if brace not in starts:
                starts.append(brace)
    return starts


def _decode(piece: str) -> _Json | None:
    try:
        found = decode(piece)
    except ValueError:
        return None
    return found if isinstance(found, dict) and _tells(found) else None


def _whole_lists(text: str) -> Iterator[_Json]:
    """Lists that make up the whole text or a whole fenced block."""
    for block in [text, *text.split("```")[1:32:2]]:
        body = block.strip().removeprefix("json").strip()
        if body.startswith("[") and len(body) <= _MAX_PIECE:
            try:
                found = decode(body, alone=True)
            except ValueError:
                continue
            if isinstance(found, list):
                yield _inner(found)


def _inner(found: list[object]) -> _Json:
    """A list of one answer stands for that answer."""
    only = found[0] if len(found) == 1 else None
    return only if isinstance(only, dict) and _tells(only) else found


def _repair(piece: str) -> Mapping[str, object] | None:
    found = repair(plain(piece))
    candidates = found if isinstance(found, list) else [found]
    return next((one for one in candidates if isinstance(one, dict) and _tells(one)), None)


def _tells(found: Mapping[str, object]) -> bool:
    return any(key in _TELLING or _NUMBERED.fullmatch(key) for key in map(_key, found))


def _key(key: str) -> str:
    return simplified(plain(str(key)[:100])).strip().lower().replace(" ", "_")


def _first(keys: Mapping[str, object], names: Sequence[str]) -> object:
    return next((keys[name] for name in names if keys.get(name) is not None), None)


def _strategies(value: object) -> tuple[str | tuple[str, ...], ...]:
    """Strategies from a list, from an object's values, or from one text; what is neither is kept to be refused."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        value = [value] if any(_key(key) in _TEAM_LISTS for key in value) else list(value.values())
    if isinstance(value, str):
        text = plain(value)
        value = text.split(",") if ">" in text and "," in text else [text]
    if not isinstance(value, Sequence):
        value = [value]
    return tuple("" if one is None else _names(one) or str(one)[:200] for one in value)


def _names(value: object) -> str | tuple[str, ...] | None:
    """The team names of one strategy: a text, a list of texts, or an object that holds either."""
    value = _inside(value)
    if isinstance(value, str):
        return value.strip()[:1000] or None
    if isinstance(value, Sequence):
        return tuple(str(_inside(name))[:200] for name in value[:16]) or None
    return None


def _inside(value: object) -> object:
    """What an object says under the key of its teams; anything else as it is."""
    if not isinstance(value, Mapping):
        return value
    keys = {_key(key): inner for key, inner in value.items()}
    return next((keys[name] for name in _TEAM_LISTS if name in keys), None)


def _decision(value: object) -> PolicyDecision | None:
    """The decision that a word stands for; None where it says nothing that is known."""
    word = simplified(plain(value[:200])).strip().lower().replace(" ", "_")[:80] if isinstance(value, str) else ""
    if word in {"none", "none_needed", "no_processing"} or "无需" in word or "none_needed" in word:
        return PolicyDecision.NONE_NEEDED
    if word in {"best", "stop", "final", "best_team"} or "最佳" in word:
        return PolicyDecision.BEST
    return PolicyDecision.CONTINUE if word.startswith("continue") or "继续" in word else None
