"""A random sample is as large as asked, keeps groups whole, and does not depend on row order."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from autodp_ray.config.sampling_config import SamplingConfig
from autodp_ray.samplers.random import RandomSampler, sample_random
from autodp_ray.sampling.sampler import draw_sample

_GROUPS = st.lists(st.integers(0, 30), min_size=1, max_size=120)
_RATES = st.floats(0.01, 1.0)


def _ids(groups: list[int]) -> list[str]:
    return [f"row-{at}" for at in range(len(groups))]


@given(_GROUPS, _RATES, st.integers(0, 5))
def test_groups_are_drawn_whole_or_not_at_all(groups: list[int], rate: float, seed: int) -> None:
    drawn = sample_random(_ids(groups), np.array(groups), rate=rate, seed=seed)
    taken = {groups[row] for row in drawn}
    assert sorted(drawn) == [row for row, group in enumerate(groups) if group in taken]


@given(_GROUPS, _RATES, st.integers(0, 5))
def test_the_size_is_within_one_group_of_the_rate(groups: list[int], rate: float, seed: int) -> None:
    drawn = sample_random(_ids(groups), np.array(groups), rate=rate, seed=seed)
    largest = max(groups.count(group) for group in groups)
    assert len(drawn) > 0
    assert abs(len(drawn) - rate * len(groups)) <= largest


@given(_GROUPS, _RATES, st.randoms(use_true_random=False))
def test_row_order_and_label_values_change_nothing(groups: list[int], rate: float, shuffler: Random) -> None:
    ids = _ids(groups)
    drawn = {ids[row] for row in sample_random(ids, np.array(groups), rate=rate)}
    order = list(range(len(groups)))
    shuffler.shuffle(order)
    shuffled = [ids[row] for row in order]
    again = sample_random(shuffled, np.array([1000 - groups[row] for row in order]), rate=rate)
    assert {shuffled[row] for row in again} == drawn


def test_the_same_share_of_large_and_small_groups_is_drawn() -> None:
    groups = np.repeat(np.arange(400), [5 if at % 4 == 0 else 1 for at in range(400)])
    ids = _ids(groups.tolist())
    shares = []
    for seed in range(40):
        drawn = sample_random(ids, groups, rate=0.2, seed=seed)
        shares.append(len({int(group) for group in groups[drawn] if group % 4 == 0}) / 100)
    assert np.mean(shares) == pytest.approx(0.2, abs=0.02)


def test_without_whole_groups_rows_are_drawn_one_by_one() -> None:
    groups = np.zeros(100, dtype=np.int64)
    ids = _ids(groups.tolist())
    for whole, size in ((False, 20), (True, 100)):
        config = SamplingConfig(method=RandomSampler(), whole_groups=whole)
        assert len(draw_sample(ids, groups, config)) == size


def test_another_seed_draws_other_rows() -> None:
    ids, groups = _ids(list(range(200))), np.arange(200)
    one, other = (sample_random(ids, groups, rate=0.2, seed=seed).tolist() for seed in (0, 1))
    assert len(one) == len(other) == 40
    assert one != other


def test_nothing_is_drawn_from_nothing() -> None:
    assert sample_random([], np.empty(0, dtype=np.int64), rate=0.2).tolist() == []


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"rate": 1.5}, {"method": "herd"}, {"rates": 0.2}])
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SamplingConfig.model_validate(wrong)
