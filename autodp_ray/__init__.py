"""Finds, by itself, how to process a fine-tuning dataset so that the model trained on it gets better.

    result = autodp_ray.run("config.yaml", run_dir="runs/mine")
    accounts = autodp_ray.process("data.jsonl", strategy="cleaning", output="cleaned.jsonl")

A Ray that this project starts listens on loopback only. Ray reads the setting for that when it is first imported, so it
is given here, before any other module of the package imports Ray; a cluster named by RAY_ADDRESS is left as it is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autodp_ray.applying.accounts import Applied
    from autodp_ray.comparing.comparison import Comparison
    from autodp_ray.result import RunResult

if "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def run(
    config: str,
    *,
    overrides: Sequence[str] = (),
    run_dir: str | None = None,
    fresh: bool = False,
    strategies: str | None = None,
) -> RunResult:
    """What `autodp run CONFIG` does, from Python. `overrides` are as after `--set`.

    Raises: operators.contract.errors.AutoDPError; InputError where the config or the data is wrong.
    """
    from autodp_ray.runs.door import run_config

    return run_config(config, overrides=overrides, run_dir=run_dir, fresh=fresh, strategies=strategies)


def process(
    data: str,
    *,
    strategy: str,
    output: str,
    config: str | None = None,
    overrides: Sequence[str] = (),
    work: str | None = None,
) -> Applied:
    """What `autodp process DATA` does, from Python: where the rows of the dataset went.

    Raises: operators.contract.errors.AutoDPError; InputError where the request or the data is wrong.
    """
    from autodp_ray.applying.process import ProcessOptions
    from autodp_ray.applying.process import process as run_process
    from autodp_ray.progress import Silent

    options = ProcessOptions(
        data=data, strategy=strategy, output=output, config_path=config, overrides=tuple(overrides), work=work
    )
    return run_process(options, progress=Silent())


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
) -> Comparison:
    """What `autodp compare CONFIG` does, from Python. Empty lists are the command's defaults.

    Raises: operators.contract.errors.AutoDPError; InputError where the config, the data or an option is wrong.
    """
    from autodp_ray.comparing.compare import open_comparison, run_comparison
    from autodp_ray.comparing.options import DEFAULT_POLICIES, CompareOptions
    from autodp_ray.progress import Silent

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
    return run_comparison(open_comparison(options), progress=Silent())
