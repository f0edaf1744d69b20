"""Says to the user what an endpoint refused, in one line that shows no text of a request or a reply."""

from __future__ import annotations

import json
from collections.abc import Mapping

from actors.llm.credentials import secret
from actors.llm.refusal import Meaning, Refusal
from actors.llm.spec import LLMEndpoint
from actors.web.hosts import public_url
from operators.contract.errors import EndpointConfigError, EndpointError


def refused_error(refusal: Refusal, *, endpoint: LLMEndpoint, sent: Mapping[str, object]) -> EndpointError:
    """The error for a refusal of the request `sent` that no other form of it mends."""
    where = f"the model endpoint {public_url(endpoint.base_url)} refused with status {refusal.status}"
    if 300 <= refusal.status < 400:
        return EndpointError(f"{where}, a redirect: rows go to base_url and nowhere else; write the final URL there")
    code = refusal.shown_code(hidden=json.dumps(sent.get("messages"), ensure_ascii=False))
    key = _key(endpoint)
    to_do = {
        Meaning.KEY: f"{key}; check also that the key may use model {endpoint.model!r}",
        Meaning.MODEL: f"check model {endpoint.model!r} and base_url; {key}",
        Meaning.QUOTA: "its quota or credit is used up; fill it up, then start the command again",
    }
    if (meaning := refusal.meaning()) in to_do:
        return EndpointConfigError(f"{where} (code {code}): {to_do[meaning]}")
    fields = refusal.fields(sent)
    named = f" because of {', '.join(map(repr, fields))}" if fields else ""
    return EndpointError(
        f"{where}{named} (code {code}): it does not accept this kind of request; adapt it with drop_params, extra_body "
        "or extra_headers of this model"
    )


def _key(endpoint: LLMEndpoint) -> str:
    """What to do about the key, which may not have been sent at all."""
    variable = endpoint.api_key_env
    if not variable:
        return "no api_key_env names a key: name the variable of one, or check the keys in headers_from_env"
    if not secret(variable):
        return f"{variable} is not set here, so no key was sent: set it, or check the keys in headers_from_env"
    return f"check the key in {variable}"
