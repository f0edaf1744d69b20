"""The long-lived Ray Train run: workers that take trainings from a queue, one after the other.

What driver and controller know of it. Torch and transformers are loaded by the workers alone (group_worker.py).
"""

from __future__ import annotations

import os
from typing import Any

from ray.train.v2._internal.constants import WORKER_GROUP_START_TIMEOUT_S_ENV_VAR  # documented, but not exported
from ray.train.v2.api.config import FailureConfig, RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from actors.cluster.nodes import is_on_loopback
from actors.training.group_settings import GroupConfig, GroupSettings
from actors.training.recipe import TrainingRecipe

MAX_GROUP_RESTARTS = 16
MAX_STARTS = 10
START_TIMEOUT_S = 1800
"""How long one start waits for its workers' places: an autoscaled GPU node may take many minutes. Ray Train's own
default is 60 s, and each wait that ends so counts as a failed start."""
WORKER_ENVIRONMENT = {
    # Threads that spin at a barrier stand in each other's way as soon as another process wants a core.
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}


def fit(config: GroupConfig, *, storage_path: str, name: str) -> None:
    """Runs the group until its queue is closed.

    Raises:
        ray.train.TrainingFailedError: the group died more often than Ray Train may restart it.
    """
    await_places()
    recipe = config.recipe
    inherited = {name: os.environ[name] for name in ("HF_HUB_OFFLINE", "HF_HOME") if name in os.environ}
    run_config: Any = RunConfig(  # Ray's stubs still name the class of Train v1
        name=name,
        storage_path=storage_path,
        failure_config=FailureConfig(max_failures=MAX_GROUP_RESTARTS, controller_failure_limit=MAX_STARTS),
        worker_runtime_env={"env_vars": WORKER_ENVIRONMENT | inherited},
    )
    meets_locally = ranks_meet_locally(recipe, on_loopback=is_on_loopback())
    trainer = _trainer_class(meets_locally)(
        run_worker,
        train_loop_config={"group": config, "meets_locally": meets_locally},
        scaling_config=scaling(recipe),
        run_config=run_config,
    )
    trainer.fit()


def await_places() -> None:
    """Has the runs of Ray Train that this process starts wait for nodes that are still to come."""
    os.environ.setdefault(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, str(START_TIMEOUT_S))  # Ray Train hands it on


def scaling(recipe: TrainingRecipe) -> ScalingConfig:
    """The workers that a recipe asks Ray Train for."""
    return ScalingConfig(
        num_workers=(recipe.min_workers, recipe.num_workers) if recipe.min_workers else recipe.num_workers,
        use_gpu=recipe.num_gpus_per_worker > 0,
        resources_per_worker=resources_of_worker(recipe),
    )


def resources_of_worker(recipe: TrainingRecipe) -> dict[str, float]:
    """What each of them holds."""
    resources = {"CPU": recipe.num_cpus_per_worker}
    if recipe.num_gpus_per_worker > 0:
        resources["GPU"] = recipe.num_gpus_per_worker
    return resources


def ranks_meet_locally(recipe: TrainingRecipe, *, on_loopback: bool) -> bool:
    """Whether the ranks need no rendezvous: without GPUs, one alone, or on a Ray that only this machine can be part of.

    Nodes that are alive now do not say where ranks will run: they may wait for nodes to come.
    """
    return recipe.num_gpus_per_worker == 0 and (recipe.num_workers == 1 or on_loopback)


def _trainer_class(meets_locally: bool) -> Any:  # noqa: ANN401 - Ray's trainers have no common base in its stubs
    if meets_locally:
        return DataParallelTrainer
    from ray.train.torch import TorchTrainer  # torch: for its rendezvous, which one machine alone does without

    return TorchTrainer


def run_worker(settings: GroupSettings) -> None:
    """What Ray Train calls in each worker."""
    from actors.training.group_worker import serve_trainings  # torch, transformers: not for the controller

    serve_trainings(settings)
