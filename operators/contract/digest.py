"""One digest of values that are JSON: for fingerprints and keys, which must not depend on how a value is laid out."""

from __future__ import annotations

import hashlib
import json


def canonical_json(value: object) -> str:
    """A value as JSON in one spelling: keys sorted, no white space, text as it is."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def json_digest(value: object) -> str:
    """sha256 of the canonical JSON; a lone surrogate in a text is no error."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()
