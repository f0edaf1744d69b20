"""The commands that search: `run`, `plan`, `report`. They parse and print."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from autodp_ray.cli.output import (
    ConfigArgument,
    JsonOption,
    SetOption,
    examples,
    fail,
    reported,
    say,
    wants_json_lines,
)
from autodp_ray.progress import shown
from operators.contract.errors import InputError

app = typer.Typer()


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
    run_dir: Annotated[str | None, typer.Option(help="Folder or URI. Default: a new one under storage.")] = None,
    resume: Annotated[
        str | None, typer.Option(help="Go on with the run in this folder; nothing that is finished is repeated.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over where the folder holds a run. The cache of strategies stays.")
    ] = False,
    strategies: Annotated[
        str | None,
        typer.Option(
            help="Score these instead of asking the agent, as in 'cleaning,cleaning>generation'; ';' separates rounds."
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

    It runs on the Ray cluster of RAY_ADDRESS (auto: the one of this machine),
    else on a Ray of its own, which ends with it.
    """
    from autodp_ray.cluster.ray import interruptible
    from autodp_ray.reporting.summary import summary_lines
    from autodp_ray.reporting.words import command_line
    from autodp_ray.runs.launch import run_opened
    from autodp_ray.runs.open_run import RunOptions, open_run

    sets = tuple(overrides or ())
    options = RunOptions(config, overrides=sets, run_dir=run_dir, resume=resume, fresh=fresh, strategies=strategies)
    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
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
    epilog=examples(
        "autodp plan config.yaml",
        "autodp plan config.yaml --strategies 'cleaning,cleaning>generation'",
        "autodp plan config.yaml --cluster cluster.yaml",
        "autodp plan config.yaml --cluster live",
    )
)
def plan(
    config: ConfigArgument,
    strategies: Annotated[
        str | None, typer.Option(help="Plan these strategies, as in 'cleaning,cleaning>generation'.")
    ] = None,
    all_strategies: Annotated[bool, typer.Option("--all", help="Plan every possible strategy.")] = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Show which phase holds which CPUs and GPUs of a cluster: a file of ray up or KubeRay, or 'live' for "
            "the cluster of RAY_ADDRESS.",
        ),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a run would do: team runs with and without sharing, trainings, time, resources. Runs nothing.

    With --cluster it shows instead which phase (search, judging, tuning) holds
    which CPUs and GPUs of a cluster, and refuses what cannot be
    placed. That reads no data and no model.
    """
    from autodp_ray.cluster.cluster_plan import ClusterPlan, cluster_plan
    from autodp_ray.cluster.described_cluster import read_cluster
    from autodp_ray.cluster.live_cluster import LIVE, live_cluster
    from autodp_ray.config.run_config import load_config
    from autodp_ray.runs.plan import Plan, make_plan

    with reported(as_json):
        settings = load_config(config, overrides or ())
        found: Plan | ClusterPlan
        if cluster is None:
            found = make_plan(settings, strategies=strategies, all_strategies=all_strategies)
        else:
            if all_strategies:
                raise InputError("give --cluster or --all, not both: a cluster is planned for the teams of the search")
            described = live_cluster() if cluster == LIVE else read_cluster(cluster)
            found = cluster_plan(settings.scoring(strategies), described)
    say(found.model_dump_json(indent=2) if as_json else found.text(), as_json=as_json)


@app.command(epilog=examples("autodp report runs/mine", "autodp report --all runs"))
def report(
    run_dir: Annotated[
        str,
        typer.Argument(
            metavar="RUN_DIR", help="Folder or URI of a run or comparison; with --all of all runs, or of a storage."
        ),
    ],
    all_runs: Annotated[
        bool, typer.Option("--all", help="List all runs that lie in the folder, finished or not, on one page.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Build RUN_DIR/report.html again from its result, or a comparison's compare.html and compare.md.

    With --all, write index.html: each run with its dataset, claim, gain and
    state, and a link to its report. With --json, --all prints the list instead
    and writes nothing.
    """
    with reported(as_json):
        if all_runs:
            _report_all(run_dir, as_json=as_json)
        else:
            _report_one(run_dir, as_json=as_json)


def _report_all(location: str, *, as_json: bool) -> None:
    from actors.storage.storage import Storage
    from autodp_ray.runs.listing import list_runs, write_index

    folder, runs = list_runs(Storage.at(location))
    if as_json:
        say(json.dumps({"runs": [run.model_dump(mode="json") for run in runs]}, ensure_ascii=False), as_json=True)
    else:
        say(f"wrote {write_index(folder, runs)}: {len(runs)} runs", as_json=False)


def _report_one(run_dir: str, *, as_json: bool) -> None:
    from actors.storage.storage import Storage
    from autodp_ray.comparing.written import read_comparison, write_pages

    folder = Storage.at(run_dir)
    comparison = read_comparison(folder)
    path = _report_of_run(run_dir) if comparison is None else write_pages(folder, comparison)
    say(json.dumps({"report": path}) if as_json else f"wrote {path}", as_json=as_json)


def _report_of_run(run_dir: str) -> str:
    from autodp_ray.reporting.report import render_report
    from autodp_ray.reporting.words import command_line
    from autodp_ray.runs.open_run import RunOptions, open_run

    prepared = open_run(RunOptions(resume=run_dir))
    result = prepared.folder.result()
    if result is None:
        again = command_line("autodp", "run", "--resume", run_dir)
        raise InputError(f"{run_dir} has no result.json yet; finish it with {again}")
    prepared.folder.write_report(render_report(result, prepared.folder.explanation()))
    return prepared.folder.report_uri
