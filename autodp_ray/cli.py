"""The `autodp` command: parses and prints. What a command does stands in the module that it calls.

Exit codes: 0 done, 1 the run failed, 2 wrong use or bad input.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from autodp_ray import cli_cache
from autodp_ray.apply import apply_run, prepare_application
from autodp_ray.cli_shared import SETTINGS, JsonOption, SetOption, fail, out, print_text, reported
from autodp_ray.cluster import Interrupted, connected, interruptible
from autodp_ray.config import load_config
from autodp_ray.door import run_opened
from autodp_ray.inspection import inspect_dataset, starter_config
from autodp_ray.open_run import RunOptions, open_run
from autodp_ray.plan import make_plan
from autodp_ray.progress import shown
from autodp_ray.report import render_report
from autodp_ray.result import RunResult
from autodp_ray.sample_report import sample_dataset
from autodp_ray.summary import summary_lines
from autodp_ray.tune import tune_run
from autodp_ray.tuning import prepare_tuning
from operators.errors import InputError

app = typer.Typer(
    name="autodp",
    help="Finds, by itself, how to process a fine-tuning dataset so that the model trained on it gets better.",
    epilog="Start with: autodp init DATA > config.yaml, then: autodp plan config.yaml, then: autodp run config.yaml",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)
app.add_typer(cli_cache.app, name="cache")


@app.command()
def run(
    config: Annotated[str | None, typer.Argument(help="The run's YAML file. Not needed with --resume.")] = None,
    run_dir: Annotated[
        str | None, typer.Option(help="Folder or URI of the run. Default: a new one under storage.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with the run in this folder; nothing that is finished is repeated.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over where the folder holds a run. The cache of strategies stays.")
    ] = False,
    strategies: Annotated[
        str | None,
        typer.Option(
            help="Score these instead of asking the agent, as in 'cleaning,cleaning>generation'; rounds go between ';'."
        ),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search for the best processing strategy and say what the test set confirms.

    The agent proposes strategies, each is applied to a sample, a model is fine-tuned on the result and scored against
    no processing. At the end the winner and the baseline are trained again with fresh seeds and scored on the test set.
    """
    options = RunOptions(
        config_path=config,
        overrides=tuple(overrides or ()),
        run_dir=run_dir,
        resume=resume,
        fresh=fresh,
        strategies=strategies,
    )
    with reported(as_json), interruptible(), shown(as_json=as_json) as progress:
        prepared = open_run(options)
        try:
            result = run_opened(prepared, progress=progress)
        except (Interrupted, KeyboardInterrupt):
            fail(f"interrupted; go on with autodp run --resume {prepared.folder.storage.location}", 1, as_json)
    _print_result(result, prepared.folder.storage.location, as_json=as_json)
    if result.status != "done":
        raise typer.Exit(1)


@app.command()
def plan(
    config: Annotated[str, typer.Argument(help="The run's YAML file.")],
    strategies: Annotated[
        str | None, typer.Option(help="Plan these strategies, as in 'cleaning,cleaning>generation'.")
    ] = None,
    all_strategies: Annotated[bool, typer.Option("--all", help="Plan every strategy of the space.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a run would do: team runs with and without sharing, trainings, time, resources. Runs nothing."""
    with reported(as_json):
        found = make_plan(load_config(config, overrides or ()), strategies=strategies, all_strategies=all_strategies)
    print_text(found.model_dump_json(indent=2) if as_json else found.text(), as_json=as_json)


@app.command()
def apply(
    run_dir: Annotated[str, typer.Argument(help="Folder or URI of a finished run.")],
    source: Annotated[
        str | None, typer.Option("--input", help="Another dataset instead of the run's own train split.")
    ] = None,
    output: Annotated[str | None, typer.Option(help="Where to write. Default: RUN_DIR/processed.")] = None,
    with_held_out: Annotated[
        bool, typer.Option("--all", help="Include held-out rows. For shipping only: nothing may be measured on them.")
    ] = False,
    strategy: Annotated[
        str | None, typer.Option(help="Another strategy than the recommended one, as in 'cleaning'.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Process the full dataset with the recommended strategy."""
    with reported(as_json), interruptible(), shown(as_json=as_json) as progress:
        prepared = open_run(RunOptions(resume=run_dir))
        with prepared.folder.locked():
            application = prepare_application(
                prepared, source=source, output=output, with_held_out=with_held_out, strategy=strategy
            )
            with connected() as cluster:
                applied = apply_run(application, cluster=cluster, progress=progress)
    print_text(applied.model_dump_json(indent=2) if as_json else applied.text(), as_json=as_json)


@app.command()
def init(
    data: Annotated[str, typer.Argument(help="A file, folder, glob or URI of JSONL, JSON, Parquet, Arrow or CSV.")],
    output: Annotated[str | None, typer.Option(help="Write the config here instead of to standard output.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a dataset (form, rows, languages, missing fields) and write a config to start from."""
    with reported(as_json):
        profile = inspect_dataset(data)
        text = starter_config(profile)
        if output is not None:
            if Path(output).exists():
                raise InputError(f"{output} is there already; choose another --output")
            Path(output).write_text(text, encoding="utf-8")
    if as_json:
        print_text(json.dumps({"profile": profile.model_dump(mode="json"), "config": text}), as_json=True)
    elif output is None:
        print(text, end="")
    else:
        out.print(f"wrote {escape(output)}; next: autodp plan {escape(output)}")


@app.command()
def sample(
    config: Annotated[str, typer.Argument(help="The run's YAML file.")],
    method: Annotated[
        str | None, typer.Option(help="random, paper, herding or stratified. Default: the config's.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Share of the rows. Default: the config's.")] = None,
    plot: Annotated[str | None, typer.Option(help="Write a page with all and sampled rows in two dimensions.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a sample alone and say how well it keeps the distribution of the whole."""
    changes = [*(overrides or ())]
    changes += [f"sampling.method={method}"] if method is not None else []
    changes += [f"sampling.rate={rate}"] if rate is not None else []
    with reported(as_json):
        settings = load_config(config, changes)
        with connected():
            drawn = sample_dataset(settings)
        if plot is not None:
            Path(plot).write_text(drawn.html(), encoding="utf-8")
    print_text(drawn.model_dump_json(indent=2) if as_json else drawn.text(), as_json=as_json)


@app.command()
def tune(
    run_dir: Annotated[str, typer.Argument(help="Folder or URI of a finished run that was applied.")],
    model: Annotated[str, typer.Option(help="Hub id (with @revision), local folder, or pkg:NAME.")],
    output: Annotated[str | None, typer.Option(help="Folder for the model. Default: RUN_DIR/tuned/NAME.")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Export the whole model instead of the adapter.")] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="tune.KEY=VALUE", help="Override a setting of this training. Repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fine-tune a model on the processed data and score it on the test split. Killed, the same command goes on."""
    with reported(as_json), interruptible(), shown(as_json=as_json) as progress:
        prepared = open_run(RunOptions(resume=run_dir))
        with prepared.folder.locked():
            tuning = prepare_tuning(prepared, model=model, output=output, merge=merge, overrides=overrides or ())
            with connected() as cluster:
                tuned = tune_run(tuning, cluster=cluster, progress=progress)
    print_text(tuned.model_dump_json(indent=2) if as_json else tuned.text(), as_json=as_json)


@app.command()
def report(
    run_dir: Annotated[str, typer.Argument(help="Folder or URI of a run.")],
    as_json: JsonOption = False,
) -> None:
    """Build RUN_DIR/report.html again from its result."""
    with reported(as_json):
        prepared = open_run(RunOptions(resume=run_dir))
        result = prepared.folder.result()
        if result is None:
            raise InputError(f"{run_dir} has no result.json yet; finish it with autodp run --resume {run_dir}")
        prepared.folder.write_report(render_report(result))
        path = prepared.folder.report_uri
    print_text(json.dumps({"report": path}) if as_json else f"wrote {path}", as_json=as_json)


def _print_result(result: RunResult, location: str, *, as_json: bool) -> None:
    if as_json:
        print_text(result.to_json(), as_json=True)
        return
    for line in summary_lines(result, location):
        out.print(escape(line), highlight=False, soft_wrap=True)


@app.callback()
def _setup(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log decisions to standard error.")] = False,
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    for package in ("operators", "actors", "autodp_ray"):
        logger = logging.getLogger(package)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    main()
