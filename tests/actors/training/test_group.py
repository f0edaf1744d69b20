"""What the group asks of Ray Train; the group itself is tested through its service. Starts no Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from ray.train.v2._internal.constants import WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, get_env_vars_to_propagate

from actors.training import group
from actors.training.group import fit, ranks_meet_locally
from actors.training.group_settings import GroupConfig
from actors.training.recipe import TrainingRecipe


class FakeTrainer:
    """Remembers what Ray Train would hand on to its controller."""

    handed_on: ClassVar[dict[str, str]] = {}

    def __init__(self, *given: object, **settings: object) -> None:
        pass

    def fit(self) -> None:
        type(self).handed_on = get_env_vars_to_propagate()


@pytest.fixture
def _no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "is_on_loopback", lambda: True)
    monkeypatch.setattr(group, "_trainer_class", lambda meets_locally: FakeTrainer)
    monkeypatch.setenv(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, "0")  # so that what `fit` sets is taken back
    monkeypatch.delenv(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR)


@pytest.mark.usefixtures("_no_ray")
@pytest.mark.parametrize(("given", "expected"), [(None, "1800"), ("60", "60")])
def test_a_start_waits_as_long_as_a_node_may_take_unless_the_user_says_otherwise(
    given: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is not None:
        monkeypatch.setenv(WORKER_GROUP_START_TIMEOUT_S_ENV_VAR, given)
    queue: Any = None
    fit(GroupConfig(queue=queue, recipe=TrainingRecipe()), storage_path=str(tmp_path), name="trainings")
    assert FakeTrainer.handed_on[WORKER_GROUP_START_TIMEOUT_S_ENV_VAR] == expected


@pytest.mark.parametrize(
    ("num_workers", "num_gpus", "on_loopback", "locally"),
    [(2, 0, True, True), (2, 0, False, False), (1, 0, False, True), (2, 1, True, False), (1, 1, True, False)],
)
def test_only_ranks_that_cannot_be_apart_do_without_a_rendezvous(
    num_workers: int, num_gpus: float, on_loopback: bool, locally: bool
) -> None:
    recipe = TrainingRecipe(num_workers=num_workers, num_gpus_per_worker=num_gpus)
    assert ranks_meet_locally(recipe, on_loopback=on_loopback) is locally
