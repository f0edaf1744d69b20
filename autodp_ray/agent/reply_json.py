"""Finds and reads the JSON in an agent's reply: fenced, inside prose, or slightly broken.

Knows JSON and the keys that models use. Does not know which teams exist.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

import json_repair

from autodp_ray.agent.reply_parts import Decision, Draft
from autodp_ray.agent.team_names import plain

_STRATEGIES = ("strategies", "combinations", "proposals", "strategy", "pipelines")
_BEST = ("best", "best_strategy", "best_team", "best_combination")
_DECISION = ("decision", "action")
_REASONS = ("reasons", "reason", "reasoning", "explanation")
_TEAM_LISTS = ("teams", "pipeline", "strategy", "combination", "order", "sequence", "steps")
_TELLING = frozenset((*_STRATEGIES, *_BEST, *_DECISION))

_ANCHOR = re.compile(r"\b(?:" + "|".join(sorted(_TELLING)) + r")\b[\"']?\s{0,20}:", re.IGNORECASE)
_MAX_ANCHORS = 12
_MAX_BRACES = 4
_MAX_PIECE = 16_000
"""Characters of one JSON object that are read."""
_MAX_REPAIRS = 4
_MAX_REPAIR = 4_000
"""The repairer takes time that grows with the square of nesting: short, shallow pieces only."""
_MAX_NESTING = 200

_Json = Mapping[str, object] | Sequence[object]


def find_objects(text: str) -> Iterator[_Json]:
    """JSON objects that have a telling key, and lists that are a whole reply or fence; the last in the text first.

    Well-formed ones come before repaired ones.
    """
    starts = _object_starts(plain(text))
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
    keys = {plain(str(key)).strip().lower().replace(" ", "_"): value for key, value in found.items()}
    if not _TELLING & keys.keys():
        return None
    reasons = _first(keys, _REASONS)
    return Draft(
        strategies=_strategies(_first(keys, _STRATEGIES)),
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
        found, _ = json.JSONDecoder().raw_decode(piece)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _tells(found) else None


def _whole_lists(text: str) -> Iterator[_Json]:
    """Lists that make up the whole text or a whole fenced block."""
    for block in [text, *text.split("```")[1:32:2]]:
        body = block.strip().removeprefix("json").strip()
        if body.startswith("[") and len(body) <= _MAX_PIECE:
            try:
                found = json.loads(body)
            except (ValueError, RecursionError):
                continue
            if isinstance(found, list):
                yield _inner(found)


def _inner(found: list[object]) -> _Json:
    """A list of one answer stands for that answer."""
    only = found[0] if len(found) == 1 else None
    return only if isinstance(only, dict) and _tells(only) else found


def _repair(piece: str) -> Mapping[str, object] | None:
    if piece.count("{") + piece.count("[") > _MAX_NESTING:
        return None
    try:
        found = json_repair.loads(plain(piece), skip_json_loads=True)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    candidates = found if isinstance(found, list) else [found]
    return next((one for one in candidates if isinstance(one, dict) and _tells(one)), None)


def _tells(found: Mapping[str, object]) -> bool:
    return any(str(key).strip().lower().replace(" ", "_") in _TELLING for key in found)


def _first(keys: Mapping[str, object], names: Sequence[str]) -> object:
    return next((keys[name] for name in names if keys.get(name) is not None), None)


def _strategies(value: object) -> tuple[str | tuple[str, ...], ...]:
    """Strategies from a list, from an object's values, or from one text; what is neither is kept to be refused."""
    if value is None:
        return ()
    if isinstance(value, Mapping):
        value = [value] if any(name in value for name in _TEAM_LISTS) else list(value.values())
    if isinstance(value, str):
        text = plain(value)
        value = text.split(",") if ">" in text and "," in text else [text]
    if not isinstance(value, Sequence):
        value = [value]
    return tuple("" if one is None else _names(one) or str(one)[:200] for one in value)


def _names(value: object) -> str | tuple[str, ...] | None:
    """The team names of one strategy: a text, a list of texts, or an object that holds either."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in _TEAM_LISTS if name in value), None)
    if isinstance(value, str):
        return value.strip()[:1000] or None
    if isinstance(value, Sequence):
        return tuple(str(name)[:200] for name in value[:16]) or None
    return None


def _decision(value: object) -> Decision | None:
    """The decision that a word stands for; None where it says nothing that is known."""
    word = plain(value).strip().lower().replace(" ", "_")[:80] if isinstance(value, str) else ""
    if word in {"none", "none_needed", "no_processing"} or "无需" in word or "none_needed" in word:
        return Decision.NONE_NEEDED
    if word in {"best", "stop", "final", "best_team"} or "最佳" in word:
        return Decision.BEST
    return Decision.CONTINUE if word.startswith("continue") or "继续" in word else None
