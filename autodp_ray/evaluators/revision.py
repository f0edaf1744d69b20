"""The revision of what scores answers."""

from __future__ import annotations

from operators.contract.digest import json_digest

SCORE_VERSION = 2
"""Changes when equal answers get other scores."""


def revision_of(*parts: object) -> str:
    """Digest of what scores depend on beside rows and answers."""
    return json_digest([SCORE_VERSION, *parts])
