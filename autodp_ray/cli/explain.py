"""The command that explains a run: `explain`. It parses and prints."""

from __future__ import annotations

from typing import Annotated

import typer

from autodp_ray.cli.output import JsonOption, examples, reported, say, wants_json_lines
from autodp_ray.progress import shown

app = typer.Typer()


@app.command(epilog=examples("autodp explain runs/mine", "autodp explain runs/mine --seeds 6 --json"))
def explain(
    run_dir: Annotated[str, typer.Argument(metavar="RUN_DIR", help="Folder or URI of a finished run.")],
    seeds: Annotated[
        int | None,
        typer.Option(min=2, help="Trainings of each variant. Default: as many as confirmed the strategy."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which operators and teams of the tested strategy did it, and whether their order mattered.

    The strategy is trained without one part at a time, like itself, and scored
    on the test rows: what is lost is what the part contributes. The report and
    RUN_DIR/explain.json have the table. Killed, the same command goes on.
    """
    from autodp_ray.cluster.ray import connected, interruptible
    from autodp_ray.explaining.explain import explain_run
    from autodp_ray.runs.open_run import RunOptions, open_run

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        prepared = open_run(RunOptions(resume=run_dir))
        with prepared.folder.locked():
            found = explain_run(prepared, num_seeds=seeds, connect=connected, progress=progress)
    say(found.model_dump_json(indent=2) if as_json else found.text(), as_json=as_json)
