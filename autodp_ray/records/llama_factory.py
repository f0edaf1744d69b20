"""The `dataset_info.json` of a LLaMA-Factory data folder, as settings of a dataset: its file, columns, roles, form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from autodp_ray.records.dataset_config import DatasetConfig, RoleName
from autodp_ray.records.forms.detection import shown_keys
from autodp_ray.records.forms.names import ColumnNames
from operators.contract.errors import InputError

INFO = "dataset_info.json"
_ROLE_TAGS: dict[str, RoleName] = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "tool_call",
    "system_tag": "system",
}
_ALPACA = {"prompt": "instruction", "query": "input", "response": "output"}


class DatasetInfo(BaseModel):
    """One dataset as LLaMA-Factory describes it; what is not read here may stand there too."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    file_name: str | None = None
    hf_hub_url: str | None = None
    formatting: str = "alpaca"
    ranking: bool = False
    split: str | None = None
    columns: dict[str, str | None] = {}
    tags: dict[str, str | None] = {}


def resolved(config: DatasetConfig) -> DatasetConfig:
    """The settings that read what `config.name` names in a LLaMA-Factory folder; the config itself elsewhere.

    Raises: InputError where a name is needed and not given, or is not known.
    """
    info = Path(config.path).expanduser() / INFO if "://" not in config.path else None
    entries = _entries(info) if info is not None else None
    if entries is None or info is None:
        if config.name is not None:
            raise InputError(f"dataset.name={config.name!r} needs a folder with LLaMA-Factory's {INFO} as dataset.path")
        return config
    known = ", ".join(shown_keys(entries, may_be_cells=False)) or "none"
    if config.name is None:
        raise InputError(f"{info} describes {len(entries)} datasets ({known}); choose one with dataset.name")
    if config.name not in entries:
        raise InputError(f"{info} describes no dataset {config.name!r}; dataset.name is one of {known}")
    try:
        entry = DatasetInfo.model_validate(entries[config.name])
    except ValidationError:
        raise InputError(f"{info} describes {config.name!r} in a way that is not known; name its file itself") from None
    return _settings(config, entry, info)


def _entries(info: Path) -> Mapping[str, object] | None:
    """The datasets of the file, where it is LLaMA-Factory's; `datasets` calls another file so."""
    try:
        found = json.loads(info.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not found:
        return None
    places = ("file_name", "hf_hub_url", "ms_hub_url", "script_url", "cloud_file_name")
    is_one = all(isinstance(entry, dict) and any(place in entry for place in places) for entry in found.values())
    return found if is_one else None


def _settings(config: DatasetConfig, entry: DatasetInfo, info: Path) -> DatasetConfig:
    is_chat = entry.formatting != "alpaca"
    messages = entry.columns.get("messages") or "conversations"
    if entry.file_name is None and entry.hf_hub_url is None:
        raise InputError(f"{info}: {config.name!r} is no file and no dataset of the hub, so it is not read")
    roles = {str(entry.tags[tag]): role for tag, role in _ROLE_TAGS.items() if entry.tags.get(tag)}
    update: dict[str, object] = {
        "name": None,
        "path": str(info.parent / entry.file_name) if entry.file_name else f"hf://datasets/{entry.hf_hub_url}",
        "split": config.split or entry.split,
        "roles": {**{spelling.strip().lower(): role for spelling, role in roles.items()}, **config.roles},
        "preference": "chosen" if entry.ranking and config.preference == "chosen" else config.preference,
    }
    if config.columns == ColumnNames():
        system = entry.columns.get("system")
        if is_chat:
            update["columns"] = ColumnNames(turns=messages, system=system)
        else:
            update |= {"columns": ColumnNames(system=system)} if entry.ranking else _columns(entry)
    return config.model_copy(update=update)


def _columns(entry: DatasetInfo) -> dict[str, object]:
    """The columns of instructions and answers, where they are not called as in Alpaca."""
    named = {**_ALPACA, **{key: name for key, name in entry.columns.items() if name}}
    history, system = entry.columns.get("history"), entry.columns.get("system")
    if all(named[key] == name for key, name in _ALPACA.items()):
        return {"columns": ColumnNames(history=history, system=system)}
    return {
        "form": "columns",
        "columns": ColumnNames(
            question=named["prompt"],
            answer=named["response"],
            context=entry.columns.get("query"),
            history=history,
            system=system,
        ),
    }
