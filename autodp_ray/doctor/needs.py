"""What a config needs: rows, models, endpoints, room and memory. A run checks them by the same functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from actors.llm.engines.base import LLMSpec
from actors.models.shape import ModelShape
from actors.screening.manifest import read_manifest
from actors.training.memory import GIB, estimate_memory, require_fit
from actors.web.hosts import public_url
from autodp_ray.cluster.node_answers import Answer, NoAnswerInTimeError
from autodp_ray.cluster.privacy import require_allowed
from autodp_ray.cluster.ray import Cluster
from autodp_ray.cluster.resource_plan import lack_of_room, resource_plan
from autodp_ray.config.run_config import Config
from autodp_ray.doctor.check import Check, attempt, ok, problem, warning
from autodp_ray.doctor.machines import GpuAnswers
from autodp_ray.records.dataset_config import DatasetConfig
from autodp_ray.records.quarantine import ReasonCounts
from autodp_ray.records.reader import read_records
from autodp_ray.runs.services import READERS, require_endpoint
from operators.contract.errors import AutoDPError, InputError

PEEK_ROWS = 100
"""Rows of the dataset that are read; a run reads the others."""
ENDPOINT_LIMIT_S = 60.0
"""Longest wait for a word of an endpoint, in one attempt."""


def dataset(config: DatasetConfig) -> Check:
    """Whether the first rows can be read as the config says."""

    def step() -> Check:
        limit = min(config.limit or PEEK_ROWS, PEEK_ROWS)
        unreadable = ReasonCounts()
        head = config.model_copy(update={"limit": limit})
        num_rows = sum(table.num_rows for table in read_records(head, on_quarantine=unreadable))
        num_bad = sum(unreadable.counts.values())
        text = f"{config.path} opens, {num_rows} of its first {num_rows + num_bad} rows can be read"
        return ok("dataset", text) if num_bad == 0 else warning("dataset", f"{text}; the others go to quarantine")

    return attempt("dataset", step)


def endpoints(roles: Mapping[str, LLMSpec]) -> list[Check]:
    """Whether the endpoints of others answer."""
    return [_endpoint(role, spec) for role, spec in roles.items() if not spec.is_ours]


def _endpoint(role: str, spec: LLMSpec) -> Check:
    name = f"endpoint of models.{role}"

    def step() -> Check:
        timeout_s = min(spec.timeout_s, ENDPOINT_LIMIT_S)
        require_endpoint(role, spec.model_copy(update={"timeout_s": timeout_s, "max_retries": 0}))
        return ok(name, f"{public_url(spec.outside_url or '')} answers as {spec.model}")

    return attempt(name, step)


def privacy(config: Config, roles: Mapping[str, LLMSpec], cluster: Cluster) -> list[Check]:
    """Whether rows may go to the endpoints whose models read them."""
    readers = [role for role, spec in roles.items() if role in READERS and not spec.is_ours]

    def step(role: str) -> Check:
        require_allowed(role, roles[role], config.privacy, cluster_hosts=cluster.hosts)
        return ok("privacy", f"rows may go to {public_url(roles[role].outside_url or '')} of models.{role}")

    return [attempt("privacy", partial(step, role)) for role in readers]


def model_sources(config: Config, roles: Mapping[str, LLMSpec]) -> dict[str, bool]:
    """Every model that machines of the cluster load, and whether those with GPUs alone do."""
    sources = [(spec.model, spec.held_gpus > 0) for spec in roles.values() if spec.is_ours]
    sources.append((config.models.tuned.model, config.training.num_gpus_per_worker > 0))
    operators = [operator for team in config.search.teams for operator in config.teams.recipe(team)]
    wanted = config.sampling.method.needs_embeddings or config.evaluation.evaluator.needs_embedder
    if wanted or any(operator.needs.embedder for operator in operators):
        sources.append((config.sampling.embedder, False))
    if config.screener.folder is not None:
        sources += [(model, False) for model in _screener_model(config.screener.folder)]
    return {source: all(on_gpus for other, on_gpus in sources if other == source) for source, _ in sources}


def _screener_model(folder: str) -> list[str]:
    try:
        return [read_manifest(folder).model]
    except InputError:  # the check of the screener says so
        return []


def agreement(name: str, answers: Sequence[Answer[str]]) -> Check:
    """Whether all nodes find it, and find the same; one that is still at it, as at a download, may."""
    if not answers:
        return warning(name, "no node with a GPU is alive to look it up; look again when one is")
    late = [answer for answer in answers if isinstance(answer.value, NoAnswerInTimeError)]
    fault = first_fault([answer for answer in answers if answer not in late])
    if fault is not None:
        return problem(name, fault)
    if late:
        return warning(name, first_fault(late) or "")
    found: dict[str, list[str]] = {}
    for answer in answers:
        found.setdefault(str(answer.value), []).append(answer.node.address)
    if len(found) > 1:
        parts = [f"{revision[:12]} on {', '.join(addresses)}" for revision, addresses in found.items()]
        return problem(name, f"nodes find other weights under this name ({'; '.join(parts)}): put the same on each")
    return ok(name, f"found, the same on all nodes asked ({len(answers)})")


def first_fault(answers: Sequence[Answer[str]] | Sequence[Answer[None]]) -> str | None:
    """What the first node without an answer says, and how many more there are; None where all answered."""
    faults = [(answer.node.address, answer.value) for answer in answers if isinstance(answer.value, AutoDPError)]
    if not faults:
        return None
    address, error = faults[0]
    more = f" (nodes with a problem here: {len(faults)})" if len(faults) > 1 else ""
    return f"node {address}: {error}{more}"


def room(config: Config, cluster: Cluster) -> Check:
    """Whether what the run holds can be placed."""
    lack = lack_of_room(config, cluster)
    if lack is None:
        plan = resource_plan(config)
        text = (
            f"the run holds {plan.cpus:g} CPUs of {cluster.num_cpus:g} and {plan.gpus:g} GPUs of {cluster.num_gpus:g}"
        )
        return ok("room", text)
    if cluster.may_grow:
        return warning("room", f"{lack}, or let the autoscaler add nodes: a run waits for them")
    return problem("room", lack if cluster.is_own else f"{lack}, or start the nodes that are missing first")


def memory(config: Config, shapes: Sequence[Answer[ModelShape | None]], gpus: GpuAnswers) -> list[Check]:
    """Whether a training of the search fits on the smallest GPU; none where trainings use no GPU."""
    recipe = config.training
    if recipe.num_gpus_per_worker == 0:
        return []
    sizes = [size for seen in gpus.values() if not isinstance(seen, AutoDPError) for size in seen]
    if not sizes:
        return [warning("memory", "no GPU is there to compare the training with; look again when one is")]
    shape = next((answer.value for answer in shapes if not isinstance(answer.value, AutoDPError)), None)
    if shape is None:
        return [
            warning("memory", f"what a training of {config.models.tuned.model} needs is not known: try a small one")
        ]
    return [attempt("memory", lambda: _fit(config, shape, min(sizes)))]


def _fit(config: Config, shape: ModelShape, gpu_bytes: int) -> Check:
    require_fit(config.training, shape, gpu_bytes)
    need = estimate_memory(config.training, shape).total
    return ok(
        "memory", f"a training needs about {need / GIB:.1f} GiB on each GPU, the smallest has {gpu_bytes / GIB:.1f}"
    )
