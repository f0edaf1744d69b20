"""`autodp cache`: what the strategy cache holds, whether it is whole, what to let go. Reads the disk, starts no Ray."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from autodp_ray.cli.output import JsonOption, SetOption, examples, reported, say
from operators.contract.errors import InputError

if TYPE_CHECKING:
    from actors.cache.store import StrategyStore
    from actors.cache.upkeep import CacheEntry

app = typer.Typer(
    help="The strategy cache: processed datasets and scores that all runs of one storage share.",
    epilog=examples("autodp cache ls", "autodp cache verify config.yaml", "autodp cache prune --max-size 20GB"),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

CacheOfConfig = Annotated[
    str | None,
    typer.Argument(metavar="CONFIG", help="A run's YAML file, for its storage. Default: .autodp/cache."),
]
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@app.command("ls", epilog=examples("autodp cache ls config.yaml --json"))
def list_entries(
    config: CacheOfConfig = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every entry with its size, the least recently used first."""
    from actors.cache.upkeep import entries

    with reported(as_json):
        store = _store(config, overrides)
        found = sorted(entries(store), key=lambda entry: (entry.last_used, entry.key))
    total = sum(entry.num_bytes for entry in found)
    if as_json:
        body = {"location": store.storage.location, "num_bytes": total, "entries": [asdict(entry) for entry in found]}
        say(json.dumps(body, indent=2), as_json=True)
        return
    say(_table(found), as_json=False)
    say(f"{len(found)} entries, {_size(total)} in {store.storage.location}", as_json=False)


@app.command("verify", epilog=examples("autodp cache verify config.yaml"))
def verify_entries(
    config: CacheOfConfig = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every byte of every entry. Damaged entries are set aside and computed again; then the exit code is 1."""
    from actors.cache.upkeep import verify

    with reported(as_json):
        found = verify(_store(config, overrides))
    lines = [f"{found.num_checked} entries checked, {len(found.damaged)} damaged", *found.damaged]
    say(json.dumps(asdict(found), indent=2) if as_json else "\n".join(lines), as_json=as_json)
    if found.damaged:
        raise typer.Exit(1)


@app.command("prune", epilog=examples("autodp cache prune --max-size 20GB", "autodp cache prune --max-age-days 30"))
def prune_entries(
    config: CacheOfConfig = None,
    max_size: Annotated[
        str | None, typer.Option(help="Keep at most this much, as in 20GB; the least recently used entries go first.")
    ] = None,
    max_age_days: Annotated[float | None, typer.Option(help="Delete what was not used for this many days.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete entries, damaged ones that were set aside, and unfinished work. Not while a run uses this cache."""
    from actors.cache.upkeep import prune

    with reported(as_json):
        if max_size is None and max_age_days is None:
            raise InputError("say what to keep: --max-size 20GB, --max-age-days 30, or both")
        if max_age_days is not None and not 0 <= max_age_days < math.inf:
            raise InputError(f"--max-age-days {max_age_days:g} is no age; write for example 30 or 0.5")
        max_age_s = None if max_age_days is None else max_age_days * 24 * 3600
        max_bytes = None if max_size is None else _bytes(max_size)
        found = prune(_store(config, overrides), max_bytes=max_bytes, max_age_s=max_age_s)
    freed = sum(entry.num_bytes for entry in found.removed)
    text = f"{len(found.removed)} entries gone, {_size(freed)} freed, {_size(found.num_bytes_left)} left"
    say(json.dumps(asdict(found), indent=2) if as_json else text, as_json=as_json)


def _store(config: str | None, overrides: list[str] | None) -> StrategyStore:
    """Raises: InputError where there is no cache, or overrides without a config."""
    from actors.cache.store import StrategyStore
    from actors.storage.storage import Storage
    from autodp_ray.cluster.ray import storage_locations
    from autodp_ray.config.run_config import load_config

    if config is None and overrides:
        raise InputError("--set overrides a config: name its YAML file too")
    storage: Storage = storage_locations(None if config is None else load_config(config, overrides or ()).storage)[1]
    if not storage.exists():
        raise InputError(f"there is no cache at {storage.location}; name the config of a run that made one")
    return StrategyStore(storage)


def _bytes(text: str) -> int:
    number = text.strip().upper().rstrip("KMGTB")
    unit = text.strip().upper().removeprefix(number) or "B"
    try:
        amount = float(number)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < math.inf or unit not in _UNITS:
        raise InputError(f"--max-size {text!r} is no size; write for example 20GB or 500MB")
    return int(amount * _UNITS[unit])


def _size(num_bytes: int) -> str:
    unit = next((name for name, size in reversed(_UNITS.items()) if num_bytes >= size), "B")
    return f"{num_bytes / _UNITS[unit]:.4g} {unit}"


def _table(found: list[CacheEntry]) -> str:

    table = Table("kind", "strategy", "rows", "size", "last used", "key", box=None)
    for entry in found:
        used = datetime.fromtimestamp(entry.last_used, UTC).strftime("%Y-%m-%d %H:%M") if entry.last_used else "unknown"
        rows = "" if entry.num_rows is None else str(entry.num_rows)
        table.add_row(entry.kind, entry.strategy or "", rows, _size(entry.num_bytes), used, entry.key[:16])
    console = Console(width=140, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip()
