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
    """Measure what each operator, each team and the order of the tested strategy contribute.

    Variants of the strategy that lack one part are trained as it was and scored
    on the test rows; the difference is what the part contributes. The report and
    RUN_DIR/explain.json have the table. After a kill, the same command resumes.
    """
    from autodp_ray.cluster.ray import connected, interruptible
    from autodp_ray.explaining.explain import explain_run
    from autodp_ray.runs.open_run import RunOptions, open_run

    with reported(as_json), interruptible(), shown(as_json=wants_json_lines(as_json)) as progress:
        prepared = open_run(RunOptions(resume=run_dir))
        with prepared.folder.locked():
            found = explain_run(prepared, num_seeds=seeds, connect=connected, progress=progress)
    say(found.model_dump_json(indent=2) if as_json else found.text(), as_json=as_json)
