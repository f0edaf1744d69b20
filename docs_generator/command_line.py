"""The reference of the command line, made of the commands themselves."""

# typer brings a click of its own, which has no types: commands are Any here.
# ruff: noqa: ANN401

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from autodp_ray.cli.main import app

_HEAD = """\
# Command line

Every command explains itself with `--help`. With `--json`, standard output holds one JSON document and nothing else.
Exit codes: 0 done, 1 the run failed, 2 wrong use or bad input. `autodp --install-completion` sets up the completion
of your shell.
"""


def command_line_page() -> str:
    """All commands with their arguments and options, as Markdown."""
    group: Any = typer.main.get_command(app)
    return "\n".join([_HEAD, "## autodp\n", *_parameters(group), *_commands(group, "autodp")])


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        line = f"{path} {name}"
        yield f"## {line}\n"
        yield (command.help or "").replace("\b", "").strip() + "\n"
        if hasattr(command, "commands"):
            yield from _commands(command, line)
            continue
        usage = command.collect_usage_pieces(command.make_context(name, [], resilient_parsing=True))
        yield f"```text\n{' '.join([line, *usage])}\n```\n"
        yield from _parameters(command)
        if command.epilog:
            yield f"```text\n{_plain(command.epilog)}\n```\n"


def _parameters(command: Any) -> Iterator[str]:
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    if not shown:
        return
    yield "| argument or option | meaning | default |\n|---|---|---|"
    for param in shown:
        names = ", ".join(f"`{name}`" for name in param.opts) if param.opts[0].startswith("-") else f"`{param.metavar}`"
        default = "" if param.default in (None, False, [], ()) or callable(param.default) else f"`{param.default}`"
        yield f"| {names} | {_cell(getattr(param, 'help', None) or '')} | {default} |"
    yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _plain(epilog: str) -> str:
    return "\n".join(line.strip() for line in epilog.replace("\b", "").splitlines() if line.strip())
