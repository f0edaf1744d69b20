"""What to do about data whose rows stand elsewhere than they are looked for: in one object, in columns, in two tables.

Looks at how values are built and at names; no value goes into a hint.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from autodp_ray.records.forms.detection import shown_keys

_MAX_DEPTH = 3
_POINTS_ELSEWHERE = re.compile(r"(?i)(?:question|query|q|answer|ans|a|doc|passage|parent)_?id")


def wrapped_rows_hint(row: Mapping[str, object]) -> str | None:
    """For the one object that a JSON file is: where its rows seem to be."""
    path = _path_of_rows(row, _MAX_DEPTH)
    if path is not None:
        is_shown = len(shown_keys(path, may_be_cells=False)) == len(path)
        value = ".".join(path) if is_shown else "KEY"
        return f"it is one object and its rows seem to stand in a list in it: set dataset.field={value}"
    if _is_column_wise(row):
        return (
            "it is one object of columns, as pandas writes by default: write it by rows, "
            "as with df.to_json(path, orient='records', lines=True, force_ascii=False)"
        )
    return None


def _path_of_rows(value: Mapping[str, object], depth: int) -> list[str] | None:
    """The keys to the longest list of objects."""
    lists = {key: len(item) for key, item in value.items() if isinstance(item, list) and _holds_rows(item)}
    if lists:
        return [max(lists, key=lambda key: lists[key])]
    for key, item in value.items() if depth > 1 else ():
        if isinstance(item, dict):
            below = _path_of_rows(item, depth - 1)
            if below is not None:
                return [key, *below]
    return None


def _holds_rows(items: list[object]) -> bool:
    return bool(items) and all(isinstance(item, dict) for item in items)


def _is_column_wise(row: Mapping[str, object]) -> bool:
    columns = [list(value.values()) if isinstance(value, dict) else value for value in row.values()]
    lists = [column for column in columns if isinstance(column, list)]
    sizes = {len(column) for column in lists}
    plain = all(not isinstance(cell, dict | list) for column in lists for cell in column)
    return len(lists) > 1 and len(lists) == len(columns) and len(sizes) == 1 and plain


def joined_tables_hint(names: Iterable[str]) -> str | None:
    """For tables in which a column points to rows of another one."""
    pointing = sorted((name for name in names if _POINTS_ELSEWHERE.fullmatch(name)), key=lambda name: name[0] == "a")
    if not pointing:
        return None
    return (
        f"the column {pointing[0]!r} seems to point to the rows of another table: join the tables into one first "
        "(docs/how-to/data.md says how)"
    )
