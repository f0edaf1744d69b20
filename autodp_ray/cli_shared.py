"""What the command line's modules share: the printing of results and errors, and options that many commands have."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from autodp_ray.cluster import Interrupted
from operators.errors import AutoDPError, InputError

out = Console()

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, as in search.max_rounds=3. Repeatable."),
]
SETTINGS = {"help_option_names": ["-h", "--help"]}


def print_text(text: str, *, as_json: bool) -> None:
    """Print a result: JSON as it is, or text for people."""
    if as_json:
        print(text)
    else:
        out.print(escape(text), highlight=False, soft_wrap=True)


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn the project's errors into one line and an exit code."""
    try:
        yield
    except InputError as error:
        fail(str(error), 2, as_json)
    except AutoDPError as error:
        fail(str(error), 1, as_json)
    except (Interrupted, KeyboardInterrupt):
        fail("interrupted; the same command goes on where it stopped", 1, as_json)


def fail(message: str, code: int, as_json: bool) -> NoReturn:
    """Say why on standard error and leave with an exit code."""
    line = " ".join(message.split())
    if as_json:
        print(json.dumps({"error": line}, ensure_ascii=False))
    print(f"autodp: {line}", file=sys.stderr)
    raise typer.Exit(code)
