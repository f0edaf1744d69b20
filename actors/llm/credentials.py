"""The headers of a request, keys included: they come from the environment and stand in no config, error or log."""

from __future__ import annotations

import os
import re

from actors.llm.engines.base import LLMSpec
from actors.llm.spec import LLMEndpoint
from operators.contract.errors import InputError

_HEADER_TEXT = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def request_headers(endpoint: LLMEndpoint, spec: LLMSpec) -> dict[str, str]:
    """All headers of a request. An application of ours is sent no key: it knows none.

    Raises: InputError where a variable holds no key that HTTP can carry, or is not set though a header needs it.
    """
    headers = {"content-type": "application/json", "accept": "application/json", **spec.headers}
    key = secret(endpoint.api_key_env) if endpoint.api_key_env and endpoint.app_name is None else ""
    if key:
        headers["authorization"] = f"Bearer {key}"
    for name, variable in spec.secret_headers.items():
        value = secret(variable)
        if not value:
            raise InputError(f"the header {name!r} needs the environment variable {variable}, which is not set")
        headers[name] = value
    return headers


def secret(variable: str) -> str:
    """What a variable holds, without the space and line ends that copying leaves around it; empty where it is unset."""
    value = os.environ.get(variable, "").strip()
    if value and not _HEADER_TEXT.fullmatch(value):
        raise InputError(
            f"the key in {variable} holds a line end or another character that no HTTP header can carry: copy it again"
        )
    return value
