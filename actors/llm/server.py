"""The LLM application on Ray Serve: `build_app` makes it, `start_llm` finds or starts it, `stop_llm` lets go of it.

Its engine says how it is built; all speak OpenAI's chat API under the route /<application name>, so that several live
side by side. Serve is imported where an application is started on it: endpoints of others need none of it.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from pydantic import ValidationError

from actors.cluster.nodes import spans_machines
from actors.llm.engines.base import LLMSpec, ServedLLM
from actors.llm.reply_body import NoCompletionError, read_json
from actors.llm.spec import LLMEndpoint, read_spec
from actors.web.exchange import HttpReply, HttpRequest, NoReplyError, exchange
from actors.web.hosts import with_path
from actors.web.retry import GaveUpError, PassingFaultError, Retries, RetryLimits
from actors.web.throttle import Throttle
from operators.contract.errors import InputError, RunError

if TYPE_CHECKING:
    from ray import serve

CARDS_FOR_S = 10.0
"""How long an application that runs is asked for its models."""

logger = logging.getLogger(__name__)


def build_app(args: dict[str, object]) -> serve.Application:
    """The Serve application that `args`, the fields of an engine's spec, describe; the import path for Serve's YAML.

    Raises:
        InputError: the fields are wrong, or the engine is not installed.
    """
    try:
        spec = read_spec(args)
    except ValidationError as error:
        raise InputError(f"the LLM application's args are wrong: {error}") from error
    if not isinstance(spec, ServedLLM):
        raise InputError(f"engine {spec.engine!r} is served by others: nothing to deploy")
    return spec.build_app()


def start_llm(spec: LLMSpec, *, name: str | None = None) -> LLMEndpoint:
    """The endpoint of `spec`: one of others, an application that runs already, or one that is started now and ready.

    Raises:
        InputError: the model cannot be had, or an application of that name serves another one.
        RunError: it failed to start, or does not answer.
    """
    if isinstance(spec, ServedLLM):
        return _start_served(spec, name=name or spec.app_name)
    assert spec.outside_url is not None
    return LLMEndpoint(
        base_url=spec.outside_url,
        model=spec.served_name,
        revision=spec.expected_revision(),
        api_key_env=spec.key_variable,
    )


def stop_llm(endpoint: LLMEndpoint) -> None:
    """Lets go of an application that a run started: the last run to do so deletes it. What others deployed stays."""
    if endpoint.is_held and endpoint.app_name is not None:
        from actors.serve.sharing import release_application

        release_application(endpoint.app_name)


def _start_served(spec: ServedLLM, *, name: str) -> LLMEndpoint:
    from actors.serve.hosting import host_application

    hosted, revision = host_application(
        lambda: _own_app(spec),
        name=name,
        timeout_s=spec.start_timeout_s,
        check=lambda url: _declared_revision(spec, base_url=f"{url}/v1", name=name),
    )
    return LLMEndpoint(
        base_url=f"{hosted.url}/v1",
        model=spec.served_name,
        revision=revision,
        app_name=name,
        is_held=hosted.is_held,
    )


def _own_app(spec: ServedLLM) -> serve.Application:
    spec.require_source(spans_machines=spans_machines())
    logger.info("building Serve application: model %s, engine %s", spec.model, spec.engine)
    return spec.build_app()


def _declared_revision(spec: ServedLLM, *, base_url: str, name: str) -> str | None:
    """The revision of the model that the application serves."""
    cards = _model_cards(spec, base_url=base_url, name=name)
    card = next((card for card in cards if card.get("id") == spec.served_name), None)
    if card is None:
        raise InputError(
            f"the Serve application {name!r} serves {[card.get('id') for card in cards]}, not {spec.served_name!r}: "
            "name its model in the config, or give another app_name"
        )
    declared = card.get("revision")
    return spec.declared_revision(None if declared is None else str(declared))


def _model_cards(spec: ServedLLM, *, base_url: str, name: str) -> list[dict[str, object]]:
    """What GET /v1/models tells of the models. Raises: RunError where the application does not."""
    request = HttpRequest(url=with_path(base_url, "models"), timeout_s=spec.start_timeout_s, is_near=True)

    def attempt() -> HttpReply:
        try:
            reply = exchange(request)
        except NoReplyError as error:
            raise PassingFaultError(str(error)) from None
        if reply.status != 200:
            raise PassingFaultError(f"status {reply.status}")
        return reply

    patience = RetryLimits(fault_s=CARDS_FOR_S, busy_s=CARDS_FOR_S)
    retries = Retries(name=f"the Serve application {name!r}", patience=patience, throttle=Throttle())
    try:
        said = read_json(retries.run(attempt, stop=threading.Event(), on_fault=lambda: None).body)
    except (GaveUpError, NoCompletionError) as error:
        raise RunError(f"the Serve application {name!r} does not answer at {base_url}: {error}") from None
    cards = said.get("data") if isinstance(said, dict) else None
    return [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []
