"""What the command line says: results, one line for whatever went wrong, exit codes 0, 1 (failed) and 2 (bad input)."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from autodp_ray.cli.json_output import emit, hold_stdout
from autodp_ray.faults import as_run_error
from autodp_ray.tracking.log_labels import log_labels
from operators.contract.errors import AutoDPError, InputError
from operators.contract.redaction import redacted

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else on standard output.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, as in search.max_rounds=3. Repeatable."),
]
ConfigArgument = Annotated[str, typer.Argument(metavar="CONFIG", help="The run's YAML file; autodp init writes one.")]


class LogFormat(StrEnum):
    """How lines on standard error look where they go to no terminal."""

    PLAIN = "plain"
    JSON = "json"


out = Console(markup=False, emoji=False, highlight=False)
_log_format = LogFormat.PLAIN
MAX_LINE = 4000
"""Characters of an error's line."""


def examples(*lines: str) -> str:
    """The end of a command's help: command lines to copy."""
    return "\n".join(["Examples:", *lines])


def say(text: str, *, as_json: bool) -> None:
    """A result on standard output, without secrets: as it is for machines, on a terminal for people."""
    if as_json:
        emit(redacted(text))
    else:
        out.print(redacted(text), soft_wrap=True)


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turn errors into one line and an exit code; with `as_json`, standard output is held until the command ends."""
    if as_json:
        hold_stdout()
    try:
        yield
    except typer.Exit:
        raise
    except InputError as error:
        fail(str(error), 2, as_json)
    except AutoDPError as error:
        fail(str(error), 1, as_json)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on where it stopped", 1, as_json)
    except Exception as error:
        fail(str(as_run_error(error)), 1, as_json)


def fail(message: str, code: int, as_json: bool) -> NoReturn:
    """Say one line on standard error, then for machines on standard output too, and end the command."""
    line = redacted(_cut(" ".join(message.split())))
    print(f"autodp: {line}", file=sys.stderr)
    if as_json:
        emit(json.dumps({"error": line}, ensure_ascii=False))
    raise typer.Exit(code)


def _cut(line: str) -> str:
    """A line that fits a screen, whatever it quotes; its end, which says what to do, stays."""
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 600]} [...] {line[-500:]}"


def is_page_of_ours(path: str) -> bool:
    """Whether a file is a page that a command wrote before, and may be written over."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(4096).lower()
    except OSError:
        return False
    return b"<!doctype html" in head and b"autodp" in head


def require_free(path: str, *, replace: bool) -> None:
    """Raises: InputError where `write_file` would, as far as can be seen before the work that makes the text."""
    if not replace and Path(path).exists():
        raise InputError(f"{path} is there already; choose another file")
    if not Path(path).parent.is_dir():
        raise InputError(f"{path} cannot be written: No such file or directory; choose another path")


def write_file(path: str, text: str, *, replace: bool) -> None:
    """Raises: InputError where the file cannot be written, or is there and shall not be replaced."""
    try:
        with Path(path).open("w" if replace else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{path} is there already; choose another file") from None
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; choose another path") from None


class _WithoutSecrets(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {"time": moment, "event": "log", "level": record.levelname, "logger": record.name}
        return json.dumps({**fields, **log_labels(), "text": redacted(super().format(record))}, ensure_ascii=False)


def wants_json_lines(as_json: bool) -> bool:
    """Whether progress is for machines: the command prints JSON, or `--log-format json` stands before it."""
    return as_json or _log_format is LogFormat.JSON


def log_to_stderr(*, verbose: bool, log_format: LogFormat = LogFormat.PLAIN) -> None:
    """Warnings of our packages, with `verbose` decisions too."""
    global _log_format
    _log_format = log_format
    handler = logging.StreamHandler(sys.stderr)
    plain = _WithoutSecrets("%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    handler.setFormatter(_JsonLine() if log_format is LogFormat.JSON else plain)
    for package in ("operators", "actors", "autodp_ray"):
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO if verbose else logging.WARNING)
