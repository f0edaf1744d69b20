"""`python -m benchmarks`: runs benchmarks and makes the table of their reports. Parses and prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.protocol import NAMES, OF_CONFIGS, ON_CLUSTERS, Options, load
from benchmarks.report import Report, read_report, run_benchmark
from benchmarks.table import markdown, replace_between_marks

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Benchmarks of autodp_ray.")


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="Which one; `list` shows all.")],
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of data. Default: the benchmark's own.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="A size that takes minutes at most.")] = False,
    gate: Annotated[bool, typer.Option("--gate", help="Exit with 1 where a figure misses its bar.")] = False,
    storage: Annotated[
        str | None, typer.Option(metavar="URI", help="Folder that all nodes see, for benchmarks of clusters.")
    ] = None,
    workers: Annotated[
        str | None, typer.Option(metavar="N,N", help="Numbers of workers to compare, for benchmarks of clusters.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(exists=True, help="Config of a run, for benchmarks of its setting.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="OUT", help="Write the report here.")] = None,
) -> None:
    """Run one benchmark."""
    if name not in NAMES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(NAMES)}")
    if (storage or workers) and name not in ON_CLUSTERS:
        raise typer.BadParameter(f"--storage and --workers are for {', '.join(sorted(ON_CLUSTERS))}, not for {name}")
    if config and name not in OF_CONFIGS:
        raise typer.BadParameter(f"--config is for {', '.join(sorted(OF_CONFIGS))}, not for {name}")
    options = Options(
        rows=rows,
        smoke=smoke,
        storage=storage,
        workers=_numbers(workers),
        config=None if config is None else str(config),
    )
    report = run_benchmark(name, load(name), options)
    if json_path is not None:
        report.write(json_path)
    print(markdown([report]))
    if gate and not report.ok:
        raise typer.Exit(1)


def _numbers(text: str | None) -> tuple[int, ...]:
    """The numbers of a list with commas; each at least 1."""
    words = text.split(",") if text else []
    if not all(word.strip().isdecimal() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"--workers {text!r} is no list of numbers of workers such as 1,2,4")
    return tuple(int(word) for word in words)


@app.command("list")
def show() -> None:
    """Every benchmark and what it measures."""
    for name, measures in NAMES.items():
        print(f"{name:20} {measures}")


@app.command()
def table(
    files: Annotated[list[Path], typer.Argument(exists=True, help="Reports that `run --json` wrote.")],
    into: Annotated[Path | None, typer.Option(help="Put it between the marks of this file.")] = None,
) -> None:
    """The table of some reports, as Markdown."""
    reports: list[Report] = [read_report(file) for file in files]
    text = markdown(reports)
    if into is None:
        print(text)
    else:
        into.write_text(replace_between_marks(into.read_text("utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    app()
