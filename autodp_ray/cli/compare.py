"""The command that compares search policies: `compare`. It parses and prints."""

from __future__ import annotations

from typing import Annotated

import typer

from autodp_ray.cli.output import (
    ConfigArgument,
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
        "autodp compare config.yaml --output runs/compared",
        "autodp compare config.yaml --policies random,mcts,agent --seeds 5",
        "autodp compare config.yaml --judges loss,reference,judge.yaml --models org/A,org/B",
        "autodp compare config.yaml --agents org/A,org/B --num-strategies 2,4,6",
        "autodp compare config.yaml --set budget.trainings=12",
    )
)
def compare(
    config: ConfigArgument,
    output: Annotated[
        str | None, typer.Option(help="Folder or URI. Default: compare-NAME, after the config, beside the runs.")
    ] = None,
    policies: Annotated[
        str | None,
        typer.Option(
            help="Search policies by name. The agent, else the last one, is compared with each of the others."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How often each policy searches, with another search.seed.")] = 1,
    final_seeds: Annotated[
        int | None, typer.Option(help="Final models of each winner. Default: evaluation.confirm_seeds.")
    ] = None,
    num_strategies: Annotated[
        str | None, typer.Option(help="Strategies of a round that are tried, as in 2,4,6.")
    ] = None,
    agents: Annotated[
        str | None,
        typer.Option(help="Chat models in the place of models.agent: names, or YAML files with a model's settings."),
    ] = None,
    judges: Annotated[
        str | None,
        typer.Option(help="Evaluators of the final models by name, or YAML files in the place of models.judge."),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Final models. Default: models.tuned.model.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over where the folder holds a comparison. The cache stays.")
    ] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare search policies: does the agent find better strategies than others, and than none?

    Each policy searches on the same sample, with one cache, one recipe and one
    budget of trainings: budget.trainings, else as many as its rounds can hold.
    Its winner is applied to the whole train split, final models are tuned on
    the result, and their answers or losses on the test rows are compared item
    by item: wins, ties and losses, the difference with an interval, a sign
    test. Equal winners share their models. The unprocessed data takes part too,
    also against itself, where the interval should hold zero.

    The folder gets compare.json, compare.md and compare.html. After a kill, the
    same command resumes and ends with the same result. autodp plan shows what a
    training takes.
    """
    from autodp_ray.cluster.ray import interruptible
    from autodp_ray.comparing.compare import open_comparison, run_comparison
    from autodp_ray.comparing.options import DEFAULT_POLICIES, CompareOptions
    from autodp_ray.comparing.table import comparison_table

    options = CompareOptions(
        config_path=config,
        overrides=tuple(overrides or ()),
        output=output,
        fresh=fresh,
        policies=policies or DEFAULT_POLICIES,
        seeds=seeds,
        final_seeds=final_seeds,
        num_strategies=num_strategies or "",
        agents=agents or "",
        judges=judges or "",
        models=models or "",
    )
    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        opened = open_comparison(options)
        done = run_comparison(opened, progress=progress)
    location = opened.folder.storage.shown
    say(done.to_json().rstrip() if as_json else f"{comparison_table(done)}\nwritten to {location}", as_json=as_json)
