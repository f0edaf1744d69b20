"""Starts and stops the models that a run needs: chat models, tokenizer, screener, gradient influence.

What is deployed already is used as it is, and stopped only by whoever started it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace

from actors.gradients.influence import GradientScorer, InfluenceInputs, influence_spec, prepare_influence
from actors.llm.client import ChatClient
from actors.llm.completion_store import CompletionStore
from actors.llm.engines.base import LLMSpec
from actors.llm.server import start_llm, stop_llm
from actors.llm.spec import LLMEndpoint
from actors.models.source import resolve_model
from actors.models.tokenizer import ModelTokenizer
from actors.storage.storage import Storage
from actors.web.hosts import host_of
from autodp_ray.cluster.needed import needed_operators, needed_roles
from autodp_ray.cluster.opened_screener import opened_screener
from autodp_ray.cluster.privacy import require_allowed
from autodp_ray.cluster.ray import Cluster
from autodp_ray.cluster.starting import WARMING_UP, said_while_starting
from autodp_ray.config.run_config import Config
from autodp_ray.evaluators.base import EvaluatorModel, Role
from autodp_ray.memo_folder import COMPLETIONS, GRADIENTS, memo_folder
from autodp_ray.preparation.preparation import Prepared
from autodp_ray.progress import Progress
from autodp_ray.sampling.row_embedding import open_embedder
from autodp_ray.search.agent.agent import ChatModel
from autodp_ray.strategy import Team
from operators.contract.errors import EndpointError, InputError
from operators.contract.resources import Embedder, Language, Resources

READERS = frozenset({"operators", "judge"})
"""Roles whose models read rows."""
PING = 'Reply with the JSON object {"ready": true} and nothing else.'
PING_SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"ready": {"type": "boolean"}},
        "required": ["ready"],
        "additionalProperties": False,
    }
)
PING_FOR_S = 30.0
"""How long an endpoint may take to answer the first ping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The models and stores that are up while a run works."""

    resources: Resources
    agent: ChatModel | None
    """None where the search policy asks no model."""
    evaluator_models: Mapping[Role, EvaluatorModel]
    """The chat models that the evaluator asks."""


@contextmanager
def started(
    config: Config,
    *,
    cluster: Cluster,
    run: Storage,
    cache: Storage,
    teams: Sequence[Team],
    language: Language,
    progress: Progress,
    influence: InfluenceInputs | None = None,
    searches: bool = True,
) -> Iterator[Services]:
    """The services of a run, started side by side; at the end, what was started here is stopped. Where there are models
    among them, what they wait for is said until they are there.

    `teams` are those that the command may run: what none of them needs is not started. A command that does not search
    needs no model of the search policy or the evaluator. `language` is that of the dataset.

    Raises: InputError for models that cannot be had.
    """
    needed = needed_roles(config, teams, searches=searches)
    require_rows_allowed(config, needed, cluster)
    tokenizer = lent_tokenizer(config, teams)
    embedder = lent_embedder(config, teams, cache)
    memory = cache if config.cache.rows else None
    stores = None if memory is None else _Stores(run=run, cache=memory)
    has_models = needed or config.screener.judges_rows
    with ExitStack() as stack:
        with said_while_starting(progress) if has_models else nullcontext():
            scorer = None if influence is None else _start_influence(influence, config=config, stack=stack)
            clients = _start_clients(config, needed=needed, stores=stores, hosts=cluster.hosts, stack=stack)
            screened = opened_screener(config.screener, memory)
            screener = stack.enter_context(screened) if config.screener.judges_rows else None
        scores = None
        if scorer is not None:
            with said_while_starting(progress, WARMING_UP):
                scores = scorer.result()
        resources = Resources(
            completer=clients.get("operators"),
            embedder=embedder,
            tokenizer=tokenizer,
            screener=screener,
            influence=scores,
            language=language,
            domain=config.dataset.domain,
            content_columns=config.dataset.content_columns,
        )
        yield Services(
            resources=resources,
            agent=clients.get("agent"),
            evaluator_models={
                role: EvaluatorModel(
                    completer=clients[role],
                    max_tokens=needed[role].max_tokens,
                    settings=needed[role].model_dump_json(),
                )
                for role in config.evaluation.evaluator.roles
                if role in clients
            },
        )


def require_rows_allowed(config: Config, needed: Mapping[str, LLMSpec], cluster: Cluster) -> None:
    """Raises: InputError where a model of these roles would read rows at a host that the config does not allow."""
    for role in needed.keys() & READERS:
        require_allowed(role, needed[role], config.privacy, cluster_hosts=cluster.hosts)


def require_endpoints(config: Config, teams: Sequence[Team], *, searches: bool = True) -> None:
    """Asks the endpoints of others for a word. Needs no Ray, so it is said at once that one does not answer.

    Raises: InputError for an endpoint that does not answer, or does not know the model or the key.
    """
    for role, spec in needed_roles(config, teams, searches=searches).items():
        if not spec.is_ours:
            require_endpoint(role, spec)


def require_endpoint(role: str, spec: LLMSpec) -> None:
    """Raises: InputError as `require_endpoints` does, for one endpoint of others."""
    hasty = {
        "retry_for_s": min(spec.retry_for_s, PING_FOR_S),
        "retry_busy_for_s": min(spec.retry_busy_for_s, PING_FOR_S),
    }
    _require_answer(role, ChatClient(start_llm(spec), spec.model_copy(update=hasty)))


def lent_embedder(config: Config, teams: Sequence[Team], cache: Storage) -> Embedder | None:
    """The model of `sampling.embedder`, where an operator of the teams needs it.

    Raises: InputError where the model cannot be had.
    """
    if not any(operator.needs.embedder for operator in needed_operators(config, teams)):
        return None
    return open_embedder(config.sampling.embedder, cache if config.cache.rows else None)


def lent_tokenizer(config: Config, teams: Sequence[Team]) -> ModelTokenizer | None:
    """The tokenizer of the tuned model, where an operator of the teams needs it.

    Raises: InputError where the model cannot be had.
    """
    if not any(operator.needs.tokenizer for operator in needed_operators(config, teams)):
        return None
    return ModelTokenizer(model=resolve_model(config.models.tuned.model))


def influence_inputs(
    config: Config, *, prepared: Prepared, teams: Sequence[Team], cache: Storage
) -> InfluenceInputs | None:
    """What gradient influence is computed from, or None where none of the teams needs it.

    Raises: InputError where operators want different scores, or the tuned model cannot be had.
    """
    spec = influence_spec(needed_operators(config, teams))
    if spec is None:
        return None
    return InfluenceInputs(
        spec=spec,
        model=resolve_model(config.models.tuned.model),
        recipe=config.training,
        num_gpus=config.pool.num_gpus_per_gradient_worker,
        raw=prepared.sample.rows_for_workers(),
        guide=prepared.guide.read(),
        storage=cache.folder("warmups"),
        memo=memo_folder(cache) / GRADIENTS if config.cache.rows else None,
    )


def _start_influence(inputs: InfluenceInputs, *, config: Config, stack: ExitStack) -> Future[GradientScorer]:
    """The warm-up, beside the start of everything else."""
    pool = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="warm-up"))
    return pool.submit(prepare_influence, inputs, num_cpus=config.pool.num_cpus_per_worker)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stores:
    """Where completions are remembered: always on a disk of the machine's own."""

    run: Storage
    cache: Storage

    def open(self, endpoint: LLMEndpoint) -> CompletionStore:
        """One store for all runs; an endpoint that declares no revision has one for this run only."""
        scope = self.cache if endpoint.revision else self.run
        return CompletionStore(memo_folder(scope) / COMPLETIONS)


def _start_clients(
    config: Config, *, needed: dict[str, LLMSpec], stores: _Stores | None, hosts: Collection[str], stack: ExitStack
) -> dict[str, ChatClient]:
    """Clients by role; roles with the same spec share one application."""
    endpoints: dict[LLMSpec, LLMEndpoint] = {}
    for spec in dict.fromkeys(needed.values()):
        endpoint = start_llm(spec)
        endpoints[spec] = replace(endpoint, in_cluster=host_of(endpoint.base_url) in hosts)
        stack.callback(stop_llm, endpoints[spec])
    clients = {
        role: ChatClient(
            endpoints[spec], spec, role=role, store=None if stores is None else stores.open(endpoints[spec])
        )
        for role, spec in needed.items()
    }
    for role, client in clients.items():
        if client.spec.is_ours:  # others' endpoints were asked before anything was started
            _require_answer(role, client)
    return clients


def _require_answer(role: str, client: ChatClient) -> None:
    """Asks an endpoint of others as a run will, with a schema: what it does not take is found out here, once."""
    try:
        if client.spec.is_ours:
            reply = client.chat([("user", "ping")], max_tokens=1)
        else:
            reply = client.chat([("user", PING)], json_schema=PING_SCHEMA)
    except (EndpointError, InputError) as error:
        raise InputError(f"models.{role}: {error}") from error
    if reply.finish_reason == "length" and not reply.text and not reply.completion_tokens:
        raise InputError(
            f"models.{role}: {client.spec.model} has no room for a reply of {client.spec.max_tokens} tokens; "
            "lower max_tokens of this model"
        )
