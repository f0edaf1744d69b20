"""The commands that look at data, machines and settings: `init`, `sample`, `doctor`, `config`. They parse and print."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from autodp_ray.cli.output import (
    ConfigArgument,
    JsonOption,
    SetOption,
    examples,
    is_page_of_ours,
    reported,
    require_free,
    say,
    wants_json_lines,
    write_file,
)
from autodp_ray.progress import shown
from operators.contract.errors import InputError
from operators.contract.redaction import redacted

app = typer.Typer()


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

    The config runs as it is: a first look with the small bundled model, on a few CPU cores. Its last lines say what to
    change for a run that counts.
    """
    from autodp_ray.config.run_config import dataset_settings
    from autodp_ray.config.starter import starter_config, what_was_seen
    from autodp_ray.records.inspection import inspect_dataset

    with reported(as_json):
        if output is not None:
            require_free(output, replace=False)
        profile = inspect_dataset(dataset_settings(data, overrides or ()))
        text = starter_config(profile)
        if output is not None:
            write_file(output, text, replace=False)
    if as_json:
        say(json.dumps({"profile": profile.model_dump(mode="json"), "config": text}), as_json=True)
    elif output is None:
        say(text.rstrip("\n"), as_json=True)
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
        str | None, typer.Option(help="A sampler of sampling.method, such as herding. Default: the config's.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Share of the rows. Default: the config's.")] = None,
    plot: Annotated[str | None, typer.Option(help="Write an HTML page that plots all and sampled rows.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a sample alone and say how well it keeps the distribution of the whole."""
    from autodp_ray.cluster.ray import connected
    from autodp_ray.config.run_config import load_config
    from autodp_ray.sampling.sample_report import models_to_sample, sample_dataset

    changes = [*(overrides or ())]
    changes += [f"sampling.method={method}"] if method is not None else []
    changes += [f"sampling.rate={rate}"] if rate is not None else []
    with reported(as_json):
        settings = load_config(config, changes)
        if plot is not None:
            require_free(plot, replace=is_page_of_ours(plot))
        embedder, screener = models_to_sample(settings)
        with connected():
            drawn = sample_dataset(settings, embedder=embedder, screener=screener)
        if plot is not None:
            write_file(plot, redacted(drawn.html()), replace=is_page_of_ours(plot))
    say(drawn.model_dump_json(indent=2) if as_json else drawn.text(), as_json=as_json)


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

    Each check prints ok, warning or problem, and what to do about it; after a
    problem the exit code is 2. With a config, its dataset, storage, models,
    endpoints and resources are checked too. No run starts, but folders of the
    storage are made, and nodes download hub models that they do not have yet.

    It looks at the Ray cluster that RAY_ADDRESS names, else at a Ray of its own.
    """
    from autodp_ray.cluster.ray import connected, interruptible
    from autodp_ray.config.run_config import load_config
    from autodp_ray.doctor.examination import RayAccess, examine

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        if config is None and overrides:
            raise InputError("--set overrides a config: name its YAML file too")
        settings = None if config is None else load_config(config, overrides or ())
        found = examine(settings, access=RayAccess(connect=connected), progress=progress)
    say(found.to_json() if as_json else found.text(), as_json=as_json)
    if not found.ok:
        raise typer.Exit(2)


@app.command("config", epilog=examples("autodp config", "autodp config --schema > schema.json"))
def config_fields(
    as_json: JsonOption = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema, for editors.")] = False,
) -> None:
    """Print what a config file may hold: every field with its type, default and meaning."""
    from autodp_ray.config.reference import reference, reference_text, schema_text

    if schema:
        say(schema_text(), as_json=True)
        return
    with reported(as_json):
        sections = [
            {**section._asdict(), "fields": [one._asdict() for one in section.fields]} for section in reference()
        ]
    say(json.dumps({"sections": sections}) if as_json else reference_text().rstrip(), as_json=True)
