"""The `autodp` command: one place where its commands come together. What they say stands in output.py.

Help and wrong use load no Ray: each command imports what it runs when it runs. Exit codes: 0 done, 1 the run failed,
2 wrong use or bad input.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

from autodp_ray.cli import cache, compare, explain, inspect, process, run, screen
from autodp_ray.cli.json_output import release_stdout
from autodp_ray.cli.output import LogFormat, examples, log_to_stderr
from autodp_ray.progress import silence_bars_of_libraries

app = typer.Typer(
    name="autodp",
    help="Finds, by itself, how to process a fine-tuning dataset so that the model trained on it gets better.",
    epilog=examples(
        "autodp init data.jsonl --output config.yaml",
        "autodp doctor config.yaml",
        "autodp plan config.yaml",
        "autodp run config.yaml --run-dir runs/mine",
        "autodp apply runs/mine",
        "autodp tune runs/mine --model MODEL",
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for commands in (run, explain, process, compare, inspect):
    app.add_typer(commands.app)
app.add_typer(cache.app, name="cache")
app.add_typer(screen.app, name="screen")


@app.callback()
def _setup(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log decisions to standard error, and where a failure arose.")
    ] = False,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="Format of log lines where standard error is no terminal.")
    ] = LogFormat.PLAIN,
) -> None:
    context.call_on_close(release_stdout)
    log_to_stderr(verbose=verbose, log_format=log_format)
    if not sys.stderr.isatty():
        silence_bars_of_libraries()


def main() -> None:
    """The console script. Errors of a command are told by it: an OSError that comes here is of standard output."""
    if sys.stdout is None or sys.stderr is None:  # else the first file that is opened takes its place
        sys.exit("autodp: standard output or standard error is closed; lead it to a file, or to /dev/null")
    if isinstance(sys.stdout, io.TextIOWrapper):  # whatever the locale's encoding cannot spell
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except OSError as error:
        print(f"autodp: standard output cannot be written: {error.strerror}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer goes nowhere
        sys.exit(1)
