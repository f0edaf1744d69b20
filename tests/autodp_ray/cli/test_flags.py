"""The command line's names: commands and options change only together with the checked-in list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.testing import CliRunner

from autodp_ray.cli.main import app

FROZEN = Path(__file__).parent / "cli_flags.json"


def commands() -> dict[str, list[str]]:
    """Every command, also of groups, with its arguments and options."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    return {"": _names(root), **_below(root, "")}


def _below(group: TyperGroup, prefix: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, command in group.commands.items():
        assert isinstance(command, TyperCommand | TyperGroup)
        found[f"{prefix}{name}"] = _names(command)
        if isinstance(command, TyperGroup):
            found |= _below(command, f"{prefix}{name} ")
    return found


def _names(command: TyperCommand | TyperGroup) -> list[str]:
    options = [name for one in command.params for name in one.opts if isinstance(one, TyperOption)]
    arguments = [str(one.name).upper() for one in command.params if isinstance(one, TyperArgument)]
    return sorted(arguments) + sorted(options)


def test_commands_and_options_are_those_that_are_written_down() -> None:
    assert commands() == json.loads(FROZEN.read_text()), f"a change of the command line belongs into {FROZEN.name}"


@pytest.mark.parametrize("command", sorted(commands()))
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_of_every_command_says_what_it_does(command: str, flag: str) -> None:
    shown = CliRunner().invoke(app, [*command.split(), flag], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert shown.exit_code == 0, shown.output
    assert "Usage:" in shown.output
    assert f"autodp {command or 'init'} " in shown.output.partition("Examples:")[2]
    for name in commands()[command]:
        assert name.lower() in shown.output.lower()


@pytest.mark.parametrize("command", [name for name in sorted(commands()) if name])
def test_every_command_speaks_to_machines(command: str) -> None:
    is_group = any(other.startswith(f"{command} ") for other in commands())
    assert is_group or "--json" in commands()[command]


def test_every_option_is_explained() -> None:
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        assert command.help, f"{name} says nothing"
        for option in command.params:
            if isinstance(option, TyperOption):
                assert option.help, f"{name} {option.name} says nothing"


def test_the_module_can_be_run_as_the_command_is() -> None:
    from autodp_ray.cli import main as cli

    assert callable(cli.main)
