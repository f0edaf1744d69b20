"""What each worker of the long-lived training group is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ray.actor import ActorHandle

from actors.training.queue import TrainingQueue
from actors.training.recipe import TrainingRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupConfig:
    """What each worker of the group is told."""

    queue: ActorHandle[TrainingQueue]
    recipe: TrainingRecipe


class GroupSettings(TypedDict):
    """What Ray Train hands to each worker."""

    group: GroupConfig
    meets_locally: bool
