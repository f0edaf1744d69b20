"""What a finished comparison leaves in its folder: compare.json, and the page and the table that are made of it."""

from __future__ import annotations

from actors.storage.storage import Storage
from autodp_ray.comparing.comparison import Comparison
from autodp_ray.comparing.page import comparison_page
from autodp_ray.comparing.table import comparison_table
from autodp_ray.run_contents import COMPARISON, COMPARISON_PAGE, COMPARISON_TABLE
from operators.contract.errors import InputError
from operators.contract.redaction import redacted


def read_comparison(folder: Storage) -> Comparison | None:
    """compare.json, or None where there is none.

    Raises: InputError where it is damaged, or another version's.
    """
    if not folder.exists(COMPARISON):
        return None
    try:
        return Comparison.model_validate_json(folder.read_text(COMPARISON))
    except ValueError:
        raise InputError(
            f"{folder.shown_uri(COMPARISON)} is damaged, or of another version; delete it and make it anew from the "
            "journal with the same autodp compare command"
        ) from None


def write_comparison(folder: Storage, found: Comparison) -> None:
    """All three files, compare.json last: with it the comparison is finished."""
    write_pages(folder, found)
    folder.write_text(COMPARISON, redacted(found.to_json()))


def write_pages(folder: Storage, found: Comparison) -> str:
    """The page and the table; gives back where the page lies."""
    folder.write_text(COMPARISON_PAGE, redacted(comparison_page(found)))
    folder.write_text(COMPARISON_TABLE, redacted(comparison_table(found)))
    return folder.shown_uri(COMPARISON_PAGE)
