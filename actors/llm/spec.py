"""The chat engines as one union, and what of a model and of how it is asked stands in keys of caches.

A new engine is a file in engines/ and a word in `_Engine`. Knows nothing of Ray, Serve or HTTP; server.py builds an
application from a spec and client.py calls one by it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, get_args

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter

from actors.llm.engines.base import LLMSpec
from actors.llm.engines.endpoint import EndpointLLM
from actors.llm.engines.transformers import TransformersLLM
from actors.llm.engines.vllm import VllmLLM
from actors.llm.request_form import RequestForm

DEFAULT_ENGINE = TransformersLLM
_Engine = TransformersLLM | VllmLLM | EndpointLLM
ENGINES: Mapping[str, type[LLMSpec]] = {engine.model_fields["engine"].default: engine for engine in get_args(_Engine)}
"""Every engine by the word that names it."""


def _with_engine(fields: object) -> object:
    """The engine is named, and no field belongs to another one alone. Raises: ValueError where one does."""
    if not isinstance(fields, Mapping):
        return fields
    named = {"engine": DEFAULT_ENGINE.model_fields["engine"].default, **fields}
    chosen = ENGINES.get(str(named["engine"]))
    for field in named.keys() - (chosen.model_fields.keys() if chosen else named.keys()):
        owners = [repr(name) for name, engine in ENGINES.items() if field in engine.model_fields]
        if owners:
            raise ValueError(f"{field} belongs to engine {' or '.join(owners)}, not to {named['engine']!r}")
    return named


AnyLLM = Annotated[Annotated[_Engine, Field(discriminator="engine")], BeforeValidator(_with_engine)]
"""The spec of a chat model, told apart by `engine`."""

_ANY_LLM: TypeAdapter[LLMSpec] = TypeAdapter(AnyLLM, config=ConfigDict(hide_input_in_errors=True))


def read_spec(fields: object) -> LLMSpec:
    """The spec that plain values describe. Raises: pydantic's ValidationError."""
    return _ANY_LLM.validate_python(fields)


def named_revision(model: str, revision: str | None) -> str:
    """What keys hold of a model: a declared revision is that of one model of an endpoint. Empty where none is."""
    return f"{model}@{revision}" if revision else ""


def request_label(spec: LLMSpec, *, form: RequestForm | None = None) -> str:
    """What of how an endpoint is asked shapes completions, beside the fields of a request; empty where nothing does.

    `form` is how it is asked by what is known of it, else as the config says.
    """
    form = form or RequestForm.without(spec.unsent)
    extra = json.dumps(spec.extra_body, sort_keys=True) if spec.extra_body else ""
    return "+".join(filter(None, [form.label, extra]))


def asked_revision(spec: LLMSpec, *, model: str, revision: str | None, form: RequestForm | None = None) -> str:
    """What keys hold of a model and of how it is asked; empty where it has no revision."""
    named = named_revision(model, revision)
    return named and "+".join(filter(None, [named, request_label(spec, form=form)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMEndpoint:
    """Where a chat model answers; what a client needs to reach it."""

    base_url: str
    model: str
    revision: str | None
    """Identifies weights, engine, precision and context; None where the endpoint declares nothing."""
    api_key_env: str = "OPENAI_API_KEY"
    app_name: str | None = None
    """The Serve application, None for an endpoint of others."""
    in_cluster: bool = False
    """Whether it is on a machine of the cluster: then no proxy stands between."""
    is_held: bool = False
    """Whether this run holds the application, and lets go of it at its end."""
