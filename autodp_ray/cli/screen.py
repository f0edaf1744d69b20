"""The commands under `autodp screen`: parses and prints, as `cli` does."""

from __future__ import annotations

from typing import Annotated

import typer

from autodp_ray.cli.output import ConfigArgument, JsonOption, SetOption, examples, reported, say, wants_json_lines
from autodp_ray.progress import shown

app = typer.Typer(
    help="Train a screener, which tells rows that need work from clean ones, or apply one.",
    epilog=examples("autodp screen train config.yaml --output runs/screener"),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(
    epilog=examples(
        "autodp screen train configs/quickstart.yaml --output runs/screener",
        "autodp screen train config.yaml --output my-screener --set screener.train.dataset.path=clean.jsonl",
    )
)
def train(
    config: ConfigArgument,
    output: Annotated[str, typer.Option(help="Folder for the screener.")],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a screener on rows that no run of this config reads, calibrate it, and write its folder."""
    from autodp_ray.cluster.ray import connected, interruptible
    from autodp_ray.config.run_config import load_config
    from autodp_ray.screening.train import plan_screener, train_screener

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        prepared = plan_screener(load_config(config, overrides or ()), output=output)
        with connected() as cluster:
            trained = train_screener(prepared, cluster=cluster, progress=progress)
    say(trained.model_dump_json(indent=2) if as_json else trained.text(), as_json=as_json)


@app.command(
    epilog=examples("autodp screen apply config.yaml --screener runs/screener --input other.jsonl --output verdicts")
)
def apply(
    config: ConfigArgument,
    output: Annotated[str, typer.Option(help="Folder for the verdicts and their counts.")],
    screener: Annotated[
        str | None, typer.Option(help="Folder of a trained screener. Default: the config's screener.folder.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--input", help="Another dataset instead of the config's, read the same way.")
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a screener's verdict on every row of a dataset."""
    from autodp_ray.cluster.ray import connected, interruptible
    from autodp_ray.config.run_config import load_config
    from autodp_ray.screening.apply import prepare_screening, screen_dataset

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        settings = load_config(config, overrides or ())
        screening = prepare_screening(settings, screener=screener, source=source, output=output)
        with connected() as cluster:
            screened = screen_dataset(screening, cluster=cluster, progress=progress)
    say(screened.model_dump_json(indent=2) if as_json else screened.text(), as_json=as_json)
