"""The settings of a run as its config.json holds them: without secrets, which come back from the config file.

A password or key never goes into the run's folder. Who goes on with the run gets it from where it was read first: the
config file at the path that the run was given, or the environment (`api_key_env`, the keys of a cloud).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from autodp_ray.config.run_config import Config, build_config, load_config
from operators.contract.errors import InputError
from operators.contract.redaction import HIDDEN, redacted_settings


def settings_of(
    config: Config, strategies: str | None, comparison: Mapping[str, object] | None = None
) -> dict[str, object]:
    """What two runs must share to be the same run; `comparison` is what a comparison was asked for."""
    plain = json.loads(config.model_dump_json())
    asked = {} if comparison is None else {"comparison": redacted_settings(comparison)}
    return {"config": redacted_settings(plain), "strategies": strategies, **asked}


def shown_override(override: str) -> str:
    """A `--set` argument without the secret that it may hold."""
    key, equals, value = override.partition("=")
    return f"{key}{equals}{redacted_settings(value, key.strip().rpartition('.')[2])}"


def flat(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Settings as texts by their dotted keys; lists as JSON."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from flat(each, f"{key}.{name}" if key else str(name))
    elif value is not None:
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def differences(left: object, right: object, key: str = "") -> Iterator[str]:
    """The dotted keys at which two settings differ."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for name in left.keys() | right.keys():
            yield from differences(left.get(name), right.get(name), f"{key}.{name}" if key else str(name))
    elif left != right:
        yield key.removeprefix("config.")


def restored_config(
    values: Mapping[str, object], *, config_path: str | None, overrides: Sequence[str], source: str
) -> Config:
    """The config of plain values out of a config.json, its secrets taken from the config file.

    Raises: InputError where this version does not understand them, or a secret cannot be had.
    """
    if hidden := sorted(_hidden(values)):
        given = [override for override in overrides if HIDDEN not in override]
        original = {} if config_path is None else _plain(config_path, given)
        values = _filled(values, original)
        hidden = sorted(_hidden(values))
    if hidden:
        raise InputError(
            f"{source} holds no secrets, and those of {', '.join(hidden)} are not in {config_path or 'a config file'}: "
            "write them there, or better into the environment, or go on with the command that the run was started with"
        )
    return build_config(values, source=source)


def _plain(config_path: str, overrides: Sequence[str]) -> Mapping[str, object]:
    """The settings of a config file; none where it is gone or was changed into something else."""
    try:
        loaded: Mapping[str, object] = json.loads(load_config(config_path, overrides).model_dump_json())
    except InputError:
        return {}
    return loaded


def _filled(values: Mapping[str, object], original: Mapping[str, object]) -> dict[str, object]:
    return {name: _secret(value, original.get(name), name) for name, value in values.items()}


def _secret(value: object, original: object, key: str) -> object:
    """The original where the value is what is left of it."""
    if isinstance(value, Mapping):
        return _filled(value, original if isinstance(original, Mapping) else {})
    if isinstance(value, list) and isinstance(original, list) and len(value) == len(original):
        return [_secret(each, other, key) for each, other in zip(value, original, strict=True)]
    is_hidden = isinstance(value, str) and HIDDEN in value
    return original if is_hidden and redacted_settings(original, key) == value else value


def _hidden(value: object, key: str = "") -> Iterator[str]:
    """The dotted keys of what was left out."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _hidden(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for each in value:
            yield from _hidden(each, key)
    elif isinstance(value, str) and HIDDEN in value:
        yield key
