"""Says to the user what an endpoint refused, in one line that shows no text of a request or a reply."""

from __future__ import annotations

import json
from collections.abc import Mapping

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
    key = f"the key in {endpoint.api_key_env}" if endpoint.api_key_env else "the keys in headers_from_env"
    to_do = {
        Meaning.KEY: f"check {key}, and that it may use model {endpoint.model!r}",
        Meaning.MODEL: f"check model {endpoint.model!r}, base_url and {key}",
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
