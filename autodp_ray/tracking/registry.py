"""All tracking services: the one discriminated union. Adding one is its own file and one word here."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from autodp_ray.tracking.base import Tracking
from autodp_ray.tracking.mlflow import MlflowTracking
from autodp_ray.tracking.none import NoTracking
from autodp_ray.tracking.wandb import WandbTracking
from operators.contract.family import FROM_WORD, TO_WORD

Trackings = NoTracking | MlflowTracking | WandbTracking
AnyTracking = Annotated[Trackings, Field(discriminator="name"), FROM_WORD, TO_WORD]
"""Any service's spec, told apart by `name`; the word alone stands for its defaults."""

TRACKINGS: dict[str, type[Tracking]] = {each.model_fields["name"].default: each for each in get_args(Trackings)}
"""Their classes by word."""
