"""How a setting that is a member of a family is written: as its name alone, or as a section with a name."""

from __future__ import annotations


def named(value: object) -> object:
    """The section that a name alone stands for: `random` is `{name: random}`."""
    return {"name": value} if isinstance(value, str) else value
