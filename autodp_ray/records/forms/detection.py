"""Tells the form of a dataset from what all its rows have in common (evidence.py). Knows no form by name."""

from __future__ import annotations

from collections.abc import Iterable, Set

from autodp_ray.records.forms.all_forms import FORMS, form_named
from autodp_ray.records.forms.base import Form
from autodp_ray.records.forms.evidence import FormEvidence
from autodp_ray.records.forms.found import Found, as_written, shown_names
from autodp_ray.records.forms.names import CHOSEN, CONTEXT_NAMES, HISTORY, REJECTED, SYSTEM_NAMES, FormSettings
from autodp_ray.records.spelling.layout import FormKeys
from operators.contract.errors import InputError


def new_evidence(config: FormSettings) -> FormEvidence:
    """Nothing seen yet; the keys that the config or a form could mean are looked at."""
    named = [name for name in config.columns.model_dump().values() if name is not None]
    turns = [name for form in FORMS for name in form.nested_names]
    columns = config.columns
    may_be_turns = (columns.turns, columns.question, columns.answer, columns.history)
    nested = {*turns, HISTORY, CHOSEN, *(name for name in may_be_turns if name is not None)}
    candidates = {*named, *nested, *_own_names(), *SYSTEM_NAMES, *CONTEXT_NAMES, CHOSEN, REJECTED}
    return FormEvidence(candidates=frozenset(candidates), nested=frozenset(nested), roles=config.roles)


def find_form(evidence: FormEvidence, config: FormSettings, *, where: str, keys_may_be_cells: bool = False) -> FormKeys:
    """The form of the rows, as the config says or as most of them tell.

    `keys_may_be_cells`: the keys come from a header line that may be missing, so that a message names only known ones.

    Raises: InputError that names the keys that were found and those that are accepted.
    """
    known_cells = _known_names() if keys_may_be_cells else None
    found = Found(evidence=evidence, config=config, where=where, known_cells=known_cells)
    for name in config.columns.model_dump().values():
        if name is not None and name not in evidence.order:
            raise InputError(found.no_column(name))
    form = None if config.form == "auto" else form_named(config.form)
    if config.columns.answer is None:
        keys = _chosen_keys(found, form)
        if keys is not None:
            return keys
    return (form or _told_form(found)).keys(found)


def could_be_several(keys: Iterable[str], *, texts: Set[str] = frozenset()) -> bool:
    """Whether the keys alone leave open what form they are of; `texts` are those that hold no turns."""
    found = set(keys)
    num_readings = sum(form.num_readings(found - texts if form.nested_names else found) for form in FORMS)
    return num_readings != 1 or found >= {CHOSEN, REJECTED}


def names_of_texts() -> frozenset[str]:
    """The columns that a form looks for as texts."""
    return frozenset(name for form in FORMS if not form.nested_names for name in form.own_names)


def shown_keys(keys: Iterable[str], *, may_be_cells: bool) -> list[str]:
    """The first keys that may stand in a message: they look like names, and are known ones where they may be cells."""
    return shown_names(keys, known_cells=_known_names() if may_be_cells else None)


def _own_names() -> list[str]:
    return [name for form in FORMS for name in form.own_names]


def _known_names() -> frozenset[str]:
    return frozenset({*_own_names(), *SYSTEM_NAMES, *CONTEXT_NAMES, "id", HISTORY, CHOSEN, REJECTED})


def _told_form(found: Found) -> Form:
    """Of the forms that enough rows speak for, the first: a few odd rows do not decide."""
    if found.config.columns.names_a_pair:
        *nested, flat = (form for form in FORMS if form.takes_columns)
        return next((form for form in nested if form.support(found)), flat)
    turns_first = sorted(FORMS, key=lambda form: not form.nested_names)
    support = [(form, num) for form in turns_first if (num := form.support(found)) is not None]
    if not support:
        *others, last = (form.accepted for form in FORMS)
        raise InputError(
            f"cannot tell the form of {found.where}: its columns are {found.listed()}; "
            f"accepted are {', '.join(others)}, or {last}{_nearly_known(found)}"
        )
    most = max(num for _, num in support)
    return next(form for form, num in support if 2 * num >= most)


def _nearly_known(found: Found) -> str:
    """Says which columns would be known but for case or a plural; nothing without them."""
    known = {_plain(name): name for name in _own_names()}
    order = [name for name in found.evidence.order if name not in known.values()]
    near = [f"{as_written(name)} for {known[_plain(name)]}" for name in order if _plain(name) in known]
    return f" (names count as they are written: it has {', '.join(near)})" if near else ""


def _plain(name: str) -> str:
    return name.strip().casefold().removesuffix("s")


def _chosen_keys(found: Found, named: Form | None) -> FormKeys | None:
    """The keys of preference data, whose chosen answers are read as answers; None where the rows are no such data, or
    none that the form which the config names can read.

    Raises: InputError where the config does not ask for them, or they cannot be read.
    """
    is_preference = 2 * found.evidence.num_filling(CHOSEN, REJECTED) >= max(1, found.evidence.num_rows)
    forms = FORMS if named is None else (named,)
    if not is_preference or any(form.is_answered(found) for form in forms):
        return None
    if found.config.preference != "chosen":
        raise InputError(
            f"{found.where} is preference data: its rows have a {CHOSEN} and a {REJECTED} answer; "
            f"set dataset.preference: {CHOSEN} to take the {CHOSEN} ones as answers, or name columns with "
            "dataset.columns.question and dataset.columns.answer"
        )
    for form in forms:
        keys = form.chosen_keys(found)
        if keys is not None:
            return keys
    if named is not None:
        return None
    raise InputError(
        f"{found.where} is preference data in which no column holds what its {CHOSEN} answers follow; name that column "
        "with dataset.columns.question, or put prompt and answer into two columns"
    )
