"""The name of a model on the hub."""

from __future__ import annotations


def hub_id(model: str) -> str | None:
    """The hub's name of a model without its revision, or None for a folder or a package."""
    name = model.partition("@")[0]
    is_local = name.startswith((".", "/", "~", "pkg:")) or name.count("/") != 1
    return None if is_local else name
