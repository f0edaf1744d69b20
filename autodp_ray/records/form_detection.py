"""Tells the form of a dataset from what all its rows have in common (form_evidence.py)."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.form_evidence import FormEvidence, TurnCounts
from autodp_ray.records.turns import CALL, role_of
from operators.contract.errors import InputError

TURNS_KEYS = {"sharegpt": ("conversations", "conversation"), "chat": ("messages",)}
DEFAULT_TURN_KEYS = {"sharegpt": ("from", "value"), "chat": ("role", "content")}
DEFAULT_ROLES = {"sharegpt": {"user": "human", "assistant": "gpt"}, "chat": {}}
PAIR_NAMES = (
    ("question", "answer"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("query", "response"),
    ("input", "output"),
    ("instruction", "response"),
    ("instruction", "target"),
    ("instruction", "answer"),
    ("instruction", "completion"),
    ("question", "response"),
    ("question", "output"),
    ("query", "answer"),
    ("prompt", "answer"),
    ("prompt", "output"),
    ("problem", "solution"),
    ("input", "target"),
)
"""Column pairs of the named-column form that need not be named; earlier ones first."""
ALPACA_PAIR = ("instruction", "output")
SYSTEM_NAMES = ("system", "system_prompt", "system_message", "system_instruction", "sys_prompt", "sys")
CONTEXT_NAMES = ("input", "context")
CHOSEN, REJECTED = "chosen", "rejected"
QUESTION_NAMES = tuple(dict.fromkeys(("instruction", *(question for question, _ in PAIR_NAMES))))

ACCEPTED = (
    "instruction/output (alpaca), conversations (sharegpt), messages (chat), "
    "or two columns named by dataset.columns.question and dataset.columns.answer"
)
_KEY = re.compile(r"[^\W\d][\w.-]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FormKeys:
    """A form and the keys it takes from each row."""

    form: str
    question_key: str | None = None
    answer_key: str | None = None
    input_key: str | None = None
    history_key: str | None = None
    system_key: str | None = None
    turns_key: str | None = None
    turn_keys: tuple[str, str] = ("role", "content")
    roles: dict[str, str] = field(default_factory=dict)
    history_as_pairs: bool = False
    has_turn_keys: bool = False

    @property
    def own(self) -> frozenset[str]:
        keys = (self.question_key, self.answer_key, self.input_key)
        nested = (self.history_key, self.system_key, self.turns_key)
        return frozenset(key for key in (*keys, *nested) if key is not None)

    def for_layout(self) -> dict[str, object]:
        return asdict(self)


def new_evidence(config: DatasetConfig) -> FormEvidence:
    """Nothing seen yet; the keys that the config or a form could mean are looked at."""
    named = [name for name in config.columns.model_dump().values() if name is not None]
    turns = [key for keys in TURNS_KEYS.values() for key in keys]
    nested = {*turns, "history", CHOSEN, *([config.columns.history] if config.columns.history else [])}
    pairs = [name for pair in (*PAIR_NAMES, ALPACA_PAIR) for name in pair]
    candidates = {*named, *nested, *pairs, *SYSTEM_NAMES, *CONTEXT_NAMES, CHOSEN, REJECTED}
    return FormEvidence(candidates=frozenset(candidates), nested=frozenset(nested), roles=config.roles)


def find_form(
    evidence: FormEvidence, config: DatasetConfig, *, where: str, keys_may_be_cells: bool = False
) -> FormKeys:
    """The form of the rows, as the config says or as most of them tell.

    `keys_may_be_cells`: the keys come from a header line that may be missing, so that a message names only known ones.

    Raises: InputError that names the keys that were found and those that are accepted.
    """
    found = _Found(evidence=evidence, config=config, where=where, keys_may_be_cells=keys_may_be_cells)
    for name in config.columns.model_dump().values():
        if name is not None and name not in evidence.order:
            raise InputError(found.no_column(name))
    if config.form in ("auto", "columns") and config.columns.answer is None:
        keys = _chosen_keys(found)
        if keys is not None:
            return keys
    form = config.form if config.form != "auto" else _told_form(found)
    if form in TURNS_KEYS:
        return _conversation_keys(form, _turns_key(form, found), found)
    if form == "alpaca":
        return _flat_keys(form, ALPACA_PAIR, found)
    return _flat_keys(form, _pair_names(found), found)


def could_be_several(keys: Iterable[str]) -> bool:
    """Whether the keys alone leave open what form they are of."""
    found = set(keys)
    num_turns = sum(key in found for keys_of_form in TURNS_KEYS.values() for key in keys_of_form)
    num_pairs = sum(found >= set(pair) for pair in (ALPACA_PAIR, *PAIR_NAMES))
    return num_turns + num_pairs != 1 or found >= {CHOSEN, REJECTED}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What there is to tell a form from, and how it is called in messages."""

    evidence: FormEvidence
    config: DatasetConfig
    where: str
    keys_may_be_cells: bool

    def has(self, *keys: str) -> bool:
        return all(key in self.evidence.order for key in keys)

    def listed(self) -> str:
        """The keys, as far as they are names and no content."""
        known = shown_keys(self.evidence.order, may_be_cells=self.keys_may_be_cells)
        num_others = len(self.evidence.order) - len(known)
        others = [f"{num_others} more"] if num_others else []
        hint = " (does the file begin with a line of column names?)" if others and self.keys_may_be_cells else ""
        return (", ".join([*known, *others]) or "none") + hint

    def no_column(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.evidence.order, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near and _KEY.fullmatch(near[0]) else ""
        return f"there is no column {name!r} in {self.where}: its columns are {self.listed()}{hint}"

    def support(self, pair: tuple[str, str]) -> int:
        """How much the rows speak for a pair of columns: a row with both counts three, an empty one two."""
        return 2 * self.evidence.num_with(*pair) + self.evidence.num_with_any(*pair) if self.has(*pair) else 0


def shown_keys(keys: Iterable[str], *, may_be_cells: bool) -> list[str]:
    """The first keys that may stand in a message: they look like names, and are known ones where they may be cells."""
    known = {*(name for pair in (*PAIR_NAMES, ALPACA_PAIR) for name in pair), *SYSTEM_NAMES, *CONTEXT_NAMES}
    known |= {"id", "history", "messages", "conversations", CHOSEN, REJECTED}
    return [key for key in keys if (key in known if may_be_cells else _KEY.fullmatch(key))][:20]


def _told_form(found: _Found) -> str:
    """Of the forms that enough rows speak for, the first: a few odd rows do not decide."""
    if found.config.columns.names_a_pair:
        return "columns"
    support: dict[str, int] = {}
    for form, keys in TURNS_KEYS.items():
        if any(found.has(key) for key in keys):
            support[form] = 3 * max(found.evidence.turn_counts(key).num_lists for key in keys)
    if found.has(*ALPACA_PAIR):
        support["alpaca"] = found.support(ALPACA_PAIR)
    pairs = [found.support(pair) for pair in PAIR_NAMES if found.has(*pair)]
    if pairs:
        support["columns"] = max(pairs)
    if not support:
        raise InputError(
            f"cannot tell the form of {found.where}: its columns are {found.listed()}; accepted are {ACCEPTED}"
        )
    return next(form for form, num in support.items() if 2 * num >= max(support.values()))


def _pair_names(found: _Found) -> tuple[str, str]:
    question, answer = found.config.columns.question, found.config.columns.answer
    pairs = dict.fromkeys((question or pair[0], answer or pair[1]) for pair in PAIR_NAMES)
    support = {pair: found.support(pair) for pair in pairs if found.has(*pair) and pair[0] != pair[1]}
    for pair, num in support.items():
        if 2 * num >= max(support.values()):
            return pair
    lacking = "question" if question is None else "answer"
    raise InputError(
        f"which column of {found.where} holds the {lacking}? Its columns are {found.listed()}; "
        f"name it with dataset.columns.{lacking}"
    )


def _flat_keys(form: str, pair: tuple[str, str], found: _Found) -> FormKeys:
    for key in pair:
        if not found.has(key):
            raise InputError(f"form {form}: {found.no_column(key)}")
    evidence, columns = found.evidence, found.config.columns
    taken = {*pair, columns.id, columns.history, columns.system, columns.context}
    history = columns.history
    if history is None and _is_free("history", found, taken) and evidence.is_mostly_turns("history"):
        history = "history"
    counts = evidence.turn_counts(history) if history is not None else TurnCounts({})
    has_turns = counts.num_pairs + counts.num_objects > 0
    return FormKeys(
        form=form,
        question_key=pair[0],
        answer_key=pair[1],
        input_key=columns.context or _text_key(CONTEXT_NAMES, found, taken),
        history_key=history,
        system_key=columns.system or _text_key(SYSTEM_NAMES, found, taken),
        turn_keys=_most_common(counts.keys, ("role", "content")),
        roles=_roles(counts, found.config.roles, {}),
        history_as_pairs=counts.num_pairs > counts.num_objects if has_turns else form == "alpaca",
        has_turn_keys=counts.has_keys,
    )


def _is_free(key: str, found: _Found, taken: set[str | None]) -> bool:
    return found.has(key) and key not in taken


def _text_key(names: Iterable[str], found: _Found, taken: set[str | None]) -> str | None:
    """The first of the names that a column of texts has."""
    free = (key for key in names if _is_free(key, found, taken) and found.evidence.is_mostly_text(key))
    return next(free, None)


def _turns_key(form: str, found: _Found) -> str:
    keys = [key for key in TURNS_KEYS[form] if found.has(key)]
    if not keys:
        raise InputError(f"form {form}: {found.no_column(TURNS_KEYS[form][0])}")
    return max(keys, key=lambda key: found.evidence.turn_counts(key).num_lists)


def _conversation_keys(form: str, key: str, found: _Found) -> FormKeys:
    columns, counts = found.config.columns, found.evidence.turn_counts(key)
    return FormKeys(
        form=form,
        turns_key=key,
        system_key=columns.system or _text_key(SYSTEM_NAMES, found, {columns.id}),
        turn_keys=_most_common(counts.keys, DEFAULT_TURN_KEYS[form]),
        roles=_roles(counts, found.config.roles, DEFAULT_ROLES[form]),
        has_turn_keys=counts.has_keys,
    )


def _chosen_keys(found: _Found) -> FormKeys | None:
    """The keys of preference data, whose chosen answers are read as answers; None where the rows are no such data.

    Raises: InputError where the config does not ask for them, or they cannot be read.
    """
    evidence = found.evidence
    if 2 * evidence.num_filling(CHOSEN, REJECTED) < max(1, evidence.num_rows) or _is_answered(found):
        return None
    if found.config.preference != "chosen":
        raise InputError(
            f"{found.where} is preference data: its rows have a {CHOSEN} and a {REJECTED} answer; "
            f"set dataset.preference: {CHOSEN} to take the {CHOSEN} ones as answers, or name columns with "
            "dataset.columns.question and dataset.columns.answer"
        )
    counts = evidence.turn_counts(CHOSEN)
    if 2 * counts.num_lists > evidence.num_filled[CHOSEN]:
        if counts.ends["assistant"] and counts.num_objects >= 2 * counts.num_lists:
            form = "sharegpt" if _most_common(counts.keys, ("role", "content"))[0] == "from" else "chat"
            return _conversation_keys(form, CHOSEN, found)
    elif evidence.is_mostly_text(CHOSEN):
        question = found.config.columns.question or _text_key(QUESTION_NAMES, found, {found.config.columns.id})
        if question is not None:
            return _flat_keys("columns", (question, CHOSEN), found)
    raise InputError(
        f"{found.where} is preference data whose {CHOSEN} answers stand apart from their conversations, which is not "
        f"read: put prompt and {CHOSEN} answer into one list of turns, or into two columns of text"
    )


def _is_answered(found: _Found) -> bool:
    """Whether the rows have an answer beside the chosen one."""
    evidence = found.evidence
    for key in (key for keys in TURNS_KEYS.values() for key in keys):
        counts = evidence.turn_counts(key)
        if 2 * counts.ends["assistant"] >= evidence.num_rows:
            return True
    pairs = [pair for pair in (ALPACA_PAIR, *PAIR_NAMES) if found.has(*pair)]
    return any(2 * evidence.num_filling(*pair) >= evidence.num_rows for pair in pairs)


def _most_common(counts: Counter[tuple[str, str]], default: tuple[str, str]) -> tuple[str, str]:
    return counts.most_common(1)[0][0] if counts else default


def _roles(counts: TurnCounts, role_map: Mapping[str, str], default: dict[str, str]) -> dict[str, str]:
    """The spelling of each role that most turns have; a call's spelling is no role's."""
    spelled: dict[str, str] = {}
    for spelling, _ in counts.roles.most_common():
        role = role_of(spelling, role_map)
        if role in ("system", "user", "assistant", "tool") and role != CALL:
            spelled.setdefault(role, spelling)
    return {**default, **spelled}
