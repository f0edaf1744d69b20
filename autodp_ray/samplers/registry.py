"""All samplers: the one discriminated union. Adding one is its own file and one word here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from autodp_ray.samplers.base import Sampler
from autodp_ray.samplers.herding import HerdingSampler
from autodp_ray.samplers.paper import PaperSampler
from autodp_ray.samplers.random import RandomSampler
from autodp_ray.samplers.stratified import StratifiedSampler
from operators.contract.family import FROM_WORD, TO_WORD, members_by_name

AnySampler = Annotated[
    RandomSampler | PaperSampler | HerdingSampler | StratifiedSampler, Field(discriminator="name"), FROM_WORD, TO_WORD
]
"""Any sampler's spec, told apart by `name`; the word alone stands for its defaults."""

SAMPLERS = members_by_name(AnySampler, Sampler)
"""Their classes by word."""
