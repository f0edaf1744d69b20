"""The LLM application on Ray Serve: `build_app` makes it, `start_llm` finds or starts it, `stop_llm` lets go of it.

Engine `transformers` is served by this project, engine `vllm` by ray.serve.llm; both speak OpenAI's chat API under the
route /<application name>, so that several live side by side. Only plain data reaches the replicas.
"""

from __future__ import annotations

import json
import logging
import os
import threading

from fastapi import FastAPI
from pydantic import ValidationError
from ray import serve

from actors.cluster.nodes import spans_machines
from actors.llm.reply_body import NoCompletionError, read_json
from actors.llm.spec import LLMEndpoint, LLMSpec
from actors.models.source import is_local, resolve_model
from actors.serve.app import ensure_serve, listen_on_loopback
from actors.serve.sharing import hold_application, release_application
from actors.web.exchange import HttpReply, HttpRequest, NoReplyError, exchange
from actors.web.hosts import with_path
from actors.web.retry import GaveUpError, PassingFaultError, Patience, Retries
from actors.web.throttle import Throttle
from operators.contract.errors import InputError, RunError

QUEUE_FACTOR = 8
"""A replica accepts this many times its batch size, so that the next batch waits at the model and not at the proxy."""

ENGINE_VERSION = 2
"""Of the transformers engine; bumped when equal requests get other replies."""

CARDS_FOR_S = 10.0
"""How long an application that runs is asked for its models."""

QUIET = {"enable_access_log": False}

logger = logging.getLogger(__name__)


class LLMServer:
    """A replica: one engine behind the chat API."""

    def __init__(self, args: dict[str, object]) -> None:
        listen_on_loopback()
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read when torch loads: spinning threads starve neighbours
        from actors.cpu_engine.engine import TransformersEngine
        from actors.cpu_engine.service import ChatService

        spec = LLMSpec.model_validate(args)
        resolved = resolve_model(spec.model)
        engine = TransformersEngine(
            resolved.path,
            dtype=spec.resolved_dtype,
            max_batch_size=spec.max_batch_size,
            max_model_len=spec.max_model_len,
            num_threads=spec.num_threads or max(1, int(spec.num_cpus)),
        )
        self._service = ChatService(
            engine,
            model=spec.model,
            revision=served_revision(spec, weights=resolved.revision),
            batch_wait_s=spec.batch_wait_s,
            default_max_tokens=spec.max_tokens,
        )

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The application of this replica."""
        from actors.cpu_engine.service import add_routes

        app = FastAPI()
        add_routes(app, self._service)
        return app

    def check_health(self) -> None:
        """Called by Serve; a replica that raises is replaced."""
        self._service.check_health()


def build_app(args: dict[str, object]) -> serve.Application:
    """The Serve application that `args`, the fields of an `LLMSpec`, describe; the import path for Serve's YAML.

    Raises:
        InputError: the fields are wrong, or the engine is not installed.
    """
    try:
        spec = LLMSpec.model_validate(args)
    except ValidationError as error:
        raise InputError(f"the LLM application's args are wrong: {error}") from error
    if spec.engine == "endpoint":
        raise InputError("engine 'endpoint' is served by others: nothing to deploy")
    return _build_vllm(spec) if spec.engine == "vllm" else _build_transformers(spec)


def start_llm(spec: LLMSpec, *, name: str | None = None) -> LLMEndpoint:
    """The endpoint of `spec`: one of others, an application that runs already, or one that is started now and ready.

    Raises:
        InputError: the model cannot be had, or an application of that name serves another one.
        RunError: it failed to start, or does not answer.
    """
    if spec.engine == "endpoint":
        assert spec.base_url is not None
        return LLMEndpoint(
            base_url=spec.base_url, model=spec.model, revision=spec.revision, api_key_env=spec.api_key_env
        )
    name = name or spec.app_name
    base_url = f"{ensure_serve()}/{name}/v1"
    is_held = hold_application(lambda: _own_app(spec), name=name, timeout_s=spec.start_timeout_s)
    try:
        revision = _declared_revision(spec, base_url=base_url, name=name)
    except BaseException:
        if is_held:
            release_application(name)
        raise
    return LLMEndpoint(base_url=base_url, model=spec.served_name, revision=revision, app_name=name, is_held=is_held)


def stop_llm(endpoint: LLMEndpoint) -> None:
    """Lets go of an application that a run started: the last run to do so deletes it. What others deployed stays."""
    if endpoint.is_held and endpoint.app_name is not None:
        release_application(endpoint.app_name)


def _own_app(spec: LLMSpec) -> serve.Application:
    if spec.engine == "transformers" and not spans_machines():  # else the head would load weights that others serve
        resolve_model(spec.model)  # a source that cannot be had is told at once, not by a replica that fails
    logger.info("building Serve application: model %s, engine %s", spec.model, spec.engine)
    return build_app(spec.model_dump(mode="json"))


def _declared_revision(spec: LLMSpec, *, base_url: str, name: str) -> str | None:
    """The revision that the application declares for the model; vllm declares none, so it comes from the source."""
    cards = _model_cards(spec, base_url=base_url, name=name)
    card = next((card for card in cards if card.get("id") == spec.served_name), None)
    if card is None:
        raise InputError(
            f"the Serve application {name!r} serves {[card.get('id') for card in cards]}, not {spec.served_name!r}: "
            "name its model in the config, or give another app_name"
        )
    declared = card.get("revision")
    if declared is None and spec.engine == "vllm":
        return expected_revision(spec)
    return None if declared is None else str(declared)


def _model_cards(spec: LLMSpec, *, base_url: str, name: str) -> list[dict[str, object]]:
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

    patience = Patience(fault_s=CARDS_FOR_S, busy_s=CARDS_FOR_S)
    retries = Retries(name=f"the Serve application {name!r}", patience=patience, throttle=Throttle())
    try:
        said = read_json(retries.run(attempt, stop=threading.Event(), on_fault=lambda: None).body)
    except (GaveUpError, NoCompletionError) as error:
        raise RunError(f"the Serve application {name!r} does not answer at {base_url}: {error}") from None
    cards = said.get("data") if isinstance(said, dict) else None
    return [card for card in cards if isinstance(card, dict)] if isinstance(cards, list) else []


def expected_revision(spec: LLMSpec) -> str | None:
    """The revision that the endpoint of `spec` will have, known before it runs; None where it will have none.

    A vllm model of a hub has the one that is pinned with @, so nothing is downloaded for it. A vllm application that
    runs already is taken to be deployed as the spec says: its model card tells its context, but no dtype or weights.
    """
    if spec.engine == "endpoint":
        return spec.revision
    if spec.engine == "transformers" or is_local(spec.model):
        return served_revision(spec, weights=resolve_model(spec.model).revision)
    return served_revision(spec, weights=spec.model) if "@" in spec.model else None


def served_revision(spec: LLMSpec, *, weights: str) -> str:
    """Identifies what shapes a completion: weights, engine, precision, the context that cuts or refuses it, and further
    arguments of the engine."""
    further = json.dumps(spec.engine_kwargs, sort_keys=True) if spec.engine_kwargs else ""
    version = str(ENGINE_VERSION) if spec.engine == "transformers" else ""
    known = (weights, version, spec.engine, spec.resolved_dtype, str(spec.max_model_len), further)
    return "+".join(filter(None, known))


def _build_transformers(spec: LLMSpec) -> serve.Application:
    deployment: serve.Deployment = serve.deployment(
        name="LLMServer",
        max_ongoing_requests=QUEUE_FACTOR * spec.max_batch_size,
        autoscaling_config=_autoscaling(spec),
        logging_config=QUIET,
        graceful_shutdown_timeout_s=2.0,
        max_constructor_retry_count=1,
        ray_actor_options={"num_cpus": spec.num_cpus, "num_gpus": spec.num_gpus},
    )(serve.ingress()(LLMServer))
    return deployment.bind(spec.model_dump(mode="json"))


def _build_vllm(spec: LLMSpec) -> serve.Application:
    try:
        from ray.serve.llm import LLMConfig, build_openai_app
    except ImportError as error:
        raise InputError(f"engine 'vllm' is not installed here ({error}): pip install 'autodp-ray[gpu]'") from error
    source, _, revision = (
        (resolve_model(spec.model).path, "", "") if is_local(spec.model) else spec.model.partition("@")
    )
    config = LLMConfig(
        model_loading_config={"model_id": spec.served_name, "model_source": source},
        engine_kwargs={
            "tensor_parallel_size": spec.tensor_parallel,
            "dtype": spec.resolved_dtype,
            "max_model_len": spec.max_model_len,
            "max_num_seqs": spec.max_batch_size,
            **({"revision": revision} if revision else {}),
            **spec.engine_kwargs,
        },
        placement_group_config={"bundle_per_worker": spec.bundle_per_worker},
        deployment_config={
            "autoscaling_config": _autoscaling(spec),
            "ray_actor_options": {"num_cpus": spec.num_cpus},
            "logging_config": QUIET,
        },
        server_cls="actors.llm.vllm_replicas.VLLMServer",
    )
    return build_openai_app(
        {
            "llm_configs": [config],
            "ingress_cls_config": {"ingress_cls": "actors.llm.vllm_replicas.VLLMIngress"},
            # It only passes on; a CPU for it would be one that no plan of a run counts.
            "ingress_deployment_config": {"ray_actor_options": {"num_cpus": 0}, "logging_config": QUIET},
        }
    )


def _autoscaling(spec: LLMSpec) -> dict[str, object]:
    return {
        "min_replicas": spec.min_replicas,
        "max_replicas": spec.max_replicas,
        "target_ongoing_requests": 2 * spec.max_batch_size,
    }
