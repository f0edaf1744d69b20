"""Finds, by itself, how to process a fine-tuning dataset so that the model trained on it gets better.

    result = autodp_ray.run("config.yaml", run_dir="runs/mine")
    accounts = autodp_ray.apply("runs/mine")
    model = autodp_ray.tune("runs/mine", model="MODEL")
    accounts = autodp_ray.process("data.jsonl", strategy="cleaning", output="cleaned.jsonl")

Each function does what the command of the same name does. `progress=True` writes phases, counts and scores to standard
error while it works.

A Ray that this project starts listens on loopback only. Ray reads the setting for that when it is first imported, so it
is given here, before any other module of the package imports Ray; a cluster named by RAY_ADDRESS is left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autodp_ray.applying.accounts import Applied
    from autodp_ray.comparing.comparison import Comparison
    from autodp_ray.progress import Progress
    from autodp_ray.result import RunResult
    from autodp_ray.tuning.tuned import Tuned

if "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def run(
    config: str,
    *,
    overrides: Sequence[str] = (),
    run_dir: str | None = None,
    fresh: bool = False,
    strategies: str | None = None,
    progress: bool = False,
) -> RunResult:
    """Search for the best strategy as `autodp run CONFIG` does. `overrides` are as after `--set`.

    Raises: operators.contract.errors.AutoDPError; InputError where the config or the data is wrong.
    """
    from autodp_ray.runs.launch import run_config

    with _progress(progress) as shown:
        return run_config(
            config, overrides=overrides, run_dir=run_dir, fresh=fresh, strategies=strategies, progress=shown
        )


def apply(
    run_dir: str,
    *,
    source: str | None = None,
    output: str | None = None,
    with_held_out: bool = False,
    strategy: str | None = None,
    progress: bool = False,
) -> Applied:
    """Process the full dataset of a run, or another `source`, as `autodp apply RUN_DIR` does.

    Raises: operators.contract.errors.AutoDPError; InputError where the request or the data is wrong.
    """
    from autodp_ray.applying.apply import apply_folder

    with _progress(progress) as shown:
        return apply_folder(
            run_dir, source=source, output=output, with_held_out=with_held_out, strategy=strategy, progress=shown
        )


def tune(
    run_dir: str,
    *,
    model: str,
    output: str | None = None,
    merge: bool = False,
    overrides: Sequence[str] = (),
    progress: bool = False,
) -> Tuned:
    """Fine-tune a model on the processed data of a run, as `autodp tune RUN_DIR` does.

    Raises: operators.contract.errors.AutoDPError; InputError where the request is wrong.
    """
    from autodp_ray.tuning.tune import tune_folder

    with _progress(progress) as shown:
        return tune_folder(run_dir, model=model, output=output, merge=merge, overrides=overrides, progress=shown)


def process(
    data: str,
    *,
    strategy: str,
    output: str,
    config: str | None = None,
    overrides: Sequence[str] = (),
    work: str | None = None,
    index: str | None = None,
    progress: bool = False,
) -> Applied:
    """Process a dataset without a search, as `autodp process DATA` does: where its rows went.

    Raises: operators.contract.errors.AutoDPError; InputError where the request or the data is wrong.
    """
    from autodp_ray.applying.process import ProcessOptions
    from autodp_ray.applying.process import process as run_process

    options = ProcessOptions(
        data=data,
        strategy=strategy,
        output=output,
        config_path=config,
        overrides=tuple(overrides),
        work=work,
        index=index,
    )
    with _progress(progress) as shown:
        return run_process(options, progress=shown)


def compare(
    config: str,
    *,
    overrides: Sequence[str] = (),
    output: str | None = None,
    fresh: bool = False,
    policies: Sequence[str] = (),
    seeds: int = 1,
    judges: Sequence[str] = (),
    models: Sequence[str] = (),
    progress: bool = False,
) -> Comparison:
    """What `autodp compare CONFIG` does, from Python. Empty lists are the command's defaults.

    Raises: operators.contract.errors.AutoDPError; InputError where the config, the data or an option is wrong.
    """
    from autodp_ray.comparing.compare import open_comparison, run_comparison
    from autodp_ray.comparing.options import DEFAULT_POLICIES, CompareOptions

    options = CompareOptions(
        config_path=config,
        overrides=tuple(overrides),
        output=output,
        fresh=fresh,
        policies=",".join(policies) or DEFAULT_POLICIES,
        seeds=seeds,
        judges=",".join(judges),
        models=",".join(models),
    )
    with _progress(progress) as shown:
        return run_comparison(open_comparison(options), progress=shown)


def _progress(is_shown: bool) -> AbstractContextManager[Progress]:
    from autodp_ray.progress import Silent, shown

    return shown(as_json=False) if is_shown else nullcontext(Silent())
