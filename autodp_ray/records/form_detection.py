"""Tells the form of a dataset from the keys of its first rows."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.raw_rows import Row
from autodp_ray.records.turns import ROLES, TURN_KEYS
from operators.errors import InputError

TURNS_KEYS = {"sharegpt": ("conversations", "conversation"), "chat": ("messages",)}
DEFAULT_TURN_KEYS = {"sharegpt": ("from", "value"), "chat": ("role", "content")}
DEFAULT_ROLES = {"sharegpt": {"user": "human", "assistant": "gpt"}, "chat": {}}
PAIR_NAMES = (
    ("question", "answer"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("query", "response"),
    ("input", "output"),
)
"""Column pairs of the named-column form that need not be named."""

ACCEPTED = (
    "instruction/output (alpaca), conversations (sharegpt), messages (chat), "
    "or two columns named by dataset.columns.question and dataset.columns.answer"
)


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

    @property
    def own(self) -> frozenset[str]:
        keys = (self.question_key, self.answer_key, self.input_key)
        nested = (self.history_key, self.system_key, self.turns_key)
        return frozenset(key for key in (*keys, *nested) if key is not None)

    def for_layout(self) -> dict[str, object]:
        return asdict(self)


def find_form(rows: Sequence[Row], config: DatasetConfig, *, where: str) -> FormKeys:
    """The form of the rows, as the config says or as their keys tell.

    Raises: InputError that names the keys that were found and those that are accepted.
    """
    found = list(dict.fromkeys(key for row in rows for key in row))
    for name in config.columns.model_dump().values():
        if name is not None and name not in found:
            raise InputError(f"{_no_column(name, found, where)}")
    form = config.form if config.form != "auto" else _told_form(found, config, where)
    if form in TURNS_KEYS:
        return _conversation_keys(form, rows, found, config, where)
    if form == "alpaca":
        return _flat_keys(form, ("instruction", "output"), rows, found, config, where)
    return _flat_keys(form, _pair_names(found, config, where), rows, found, config, where)


def _no_column(name: str, found: list[str], where: str) -> str:
    near = difflib.get_close_matches(name, found, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"there is no column {name!r} in {where}: its columns are {_listed(found)}{hint}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(list(names)[:20]) or "none"


def _told_form(found: list[str], config: DatasetConfig, where: str) -> str:
    if config.columns.names_a_pair:
        return "columns"
    for form, keys in TURNS_KEYS.items():
        if any(key in found for key in keys):
            return form
    if {"instruction", "output"} <= set(found):
        return "alpaca"
    if any(set(pair) <= set(found) for pair in PAIR_NAMES):
        return "columns"
    raise InputError(f"cannot tell the form of {where}: its columns are {_listed(found)}; accepted are {ACCEPTED}")


def _pair_names(found: list[str], config: DatasetConfig, where: str) -> tuple[str, str]:
    question, answer = config.columns.question, config.columns.answer
    for pair in PAIR_NAMES:
        if (question or pair[0]) in found and (answer or pair[1]) in found:
            return question or pair[0], answer or pair[1]
    lacking = "question" if question is None else "answer"
    raise InputError(
        f"which column of {where} holds the {lacking}? Its columns are {_listed(found)}; "
        f"name it with dataset.columns.{lacking}"
    )


def _flat_keys(
    form: str, pair: tuple[str, str], rows: Sequence[Row], found: list[str], config: DatasetConfig, where: str
) -> FormKeys:
    for key in pair:
        if key not in found:
            raise InputError(f"form {form}: {_no_column(key, found, where)}")
    taken = {*pair, config.columns.id}
    history = config.columns.history or _free("history", found, taken)
    values = [row.get(history) for row in rows] if history else []
    turns = [item for value in values for item in _items(value)]
    return FormKeys(
        form=form,
        question_key=pair[0],
        answer_key=pair[1],
        input_key=_free("input", found, taken) if form == "alpaca" else None,
        history_key=history,
        system_key=config.columns.system or _free("system", found, taken),
        turn_keys=_turn_keys(turns, ("role", "content")),
        roles=_roles(turns, {}),
        history_as_pairs=isinstance(turns[0], list) if turns else form == "alpaca",
    )


def _free(key: str, found: list[str], taken: set[str | None]) -> str | None:
    return key if key in found and key not in taken else None


def _conversation_keys(form: str, rows: Sequence[Row], found: list[str], config: DatasetConfig, where: str) -> FormKeys:
    key = next((key for key in TURNS_KEYS[form] if key in found), None)
    if key is None:
        raise InputError(f"form {form}: {_no_column(TURNS_KEYS[form][0], found, where)}")
    values = [row.get(key) for row in rows]
    turns = [item for value in values for item in _items(value)]
    return FormKeys(
        form=form,
        turns_key=key,
        system_key=config.columns.system or _free("system", found, {config.columns.id}),
        turn_keys=_turn_keys(turns, DEFAULT_TURN_KEYS[form]),
        roles=_roles(turns, DEFAULT_ROLES[form]),
    )


def _items(value: object) -> list[object]:
    """The items of a list, or of the JSON text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    return value if isinstance(value, list) else []


def _turn_keys(turns: Sequence[object], default: tuple[str, str]) -> tuple[str, str]:
    for turn in turns:
        for keys in TURN_KEYS:
            if isinstance(turn, dict) and isinstance(turn.get(keys[0]), str):
                return keys
    return default


def _roles(turns: Sequence[object], default: dict[str, str]) -> dict[str, str]:
    """The first spelling seen of each role."""
    spelled: dict[str, str] = {}
    for turn in turns:
        for role_key, _ in TURN_KEYS:
            role = turn.get(role_key) if isinstance(turn, dict) else None
            if isinstance(role, str) and role.strip().lower() in ROLES:
                spelled.setdefault(ROLES[role.strip().lower()], role)
    return {**default, **spelled}
