"""How the location of a folder is spelled: an absolute local path, or a URI."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from operators.contract.errors import InputError

MAX_LOCATION = 4096
"""Characters of a path or URI; a local system's own limit."""
RAW_SCHEMES = ("fsspec+", "hf://")
"""Their URIs are no URIs by the rules: nothing in them is escaped, and there is no query."""


def full_location(text: str) -> str:
    """The location that a path or URI means; a relative local path is taken from the current folder.

    Raises: InputError for a path or URI that no folder can have.
    """
    if not text.strip():
        raise InputError("an empty path names no folder; give one, such as . for the current folder")
    if "\0" in text or len(text) > MAX_LOCATION:
        raise InputError(f"{text[:60]!r}... cannot be a folder: it is too long or holds a null character")
    if text.startswith("file:"):
        return _path_of_file_uri(text)
    if "://" not in text:
        return _absolute(text)
    base, query = base_and_query(text)
    is_raw = base.startswith(RAW_SCHEMES)
    if "#" in base + query and not is_raw:
        raise InputError(f"{text!r} holds a '#', which no URI of a folder may: write it as %23")
    return (base if is_raw else base.replace(" ", "%20")).rstrip("/") + query


def base_and_query(location: str) -> tuple[str, str]:
    """A URI up to its query, and its query with the question mark."""
    if location.startswith(RAW_SCHEMES):
        return location, ""
    base, mark, query = location.partition("?")
    return base, mark + query


def _absolute(path: str) -> str:
    try:
        return str(Path(path).expanduser().absolute())
    except RuntimeError as error:  # the home of a user whom nobody knows
        raise InputError(f"{path!r} cannot be a folder: {error}") from None


def _path_of_file_uri(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment or not parts.path.startswith("/"):
        raise InputError(f"{uri!r} names no folder of this machine; write it as in file:///data/runs")
    return str(Path(unquote(parts.path)))
