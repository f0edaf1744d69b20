"""Command lines of ours that stand in documents and manifests, as the program reads them; nothing runs."""

from __future__ import annotations

import shlex
from typing import Any

import typer

from autodp_ray.cli.main import app


def params_of(line: str) -> dict[str, Any]:
    """The parameters of a line such as `autodp run CONFIG`. Raises: click's UsageError for one that does not exist."""
    name, *arguments = shlex.split(line)[1:]
    group: Any = typer.main.get_command(app)  # typer brings a click of its own
    params: dict[str, Any] = group.commands[name].make_context(name, arguments).params
    return params
