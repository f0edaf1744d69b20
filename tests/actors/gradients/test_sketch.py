"""Random projections: linear, the same for every cut, unbiased, and accurate enough at 8,192."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.gradients.sketch import BLOCK_COORDINATES, CountSketch, Projection, Rademacher, projection, unit

Kind = Literal["countsketch", "rademacher"]

DIM = 8192


def _project(made: Projection, values: torch.Tensor, *, offset: int = 0) -> torch.Tensor:
    out = torch.zeros(len(values), made.dim)
    made.add(out, values, offset=offset)
    return out


def _correlated(num_rows: int, num_coordinates: int) -> torch.Tensor:
    """Rows with cosines all over [-1, 1] and heavy-tailed coordinates, as gradients have them."""
    generator = torch.Generator().manual_seed(1)
    common = torch.randn(1, num_coordinates, generator=generator)
    noise = torch.randn(num_rows, num_coordinates, generator=generator)
    weights = torch.linspace(-3, 3, num_rows)[:, None]
    scale = torch.randn(num_coordinates, generator=generator).exp()
    return (weights * common + noise) * scale


def _cosine_errors(made: Projection, values: torch.Tensor) -> torch.Tensor:
    exact, found = unit(values), unit(_project(made, values))
    upper = torch.triu_indices(len(values), len(values), offset=1)
    return (found @ found.T - exact @ exact.T)[upper[0], upper[1]]


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("kind", "num_coordinates"), [("countsketch", 300_000), ("rademacher", 12_000)], ids=["countsketch", "rademacher"]
)
def test_cosines_survive_with_an_rms_error_of_at_most_two_hundredths(kind: Kind, num_coordinates: int) -> None:
    errors = _cosine_errors(projection(kind, dim=DIM, seed=0), _correlated(40, num_coordinates))
    assert float(errors.square().mean().sqrt()) <= 0.02


def test_a_smaller_sketch_is_worse_so_the_check_can_fail() -> None:
    errors = _cosine_errors(CountSketch(dim=64, seed=0), _correlated(40, 300_000))
    assert float(errors.square().mean().sqrt()) > 0.05


@pytest.mark.parametrize("kind", ["countsketch", "rademacher"])
@settings(max_examples=15)
@given(cut=st.integers(1, 2999), offset=st.sampled_from([0, 5, 2**31 - 1500, 2**32 - 3000]))
def test_a_gradient_can_be_projected_in_pieces(kind: Kind, cut: int, offset: int) -> None:
    made = projection(kind, dim=128, seed=3)
    values = torch.randn(2, 3000, generator=torch.Generator().manual_seed(cut))
    out = torch.zeros(2, 128)
    made.add(out, values[:, cut:], offset=offset + cut)
    made.add(out, values[:, :cut], offset=offset)
    torch.testing.assert_close(out, _project(made, values, offset=offset), rtol=1e-4, atol=1e-4)


def test_blocks_are_an_implementation_detail() -> None:
    made = CountSketch(dim=256, seed=0)
    values = torch.randn(2, BLOCK_COORDINATES + 77, generator=torch.Generator().manual_seed(0))
    singly = sum(_project(made, values[:, at : at + 5000], offset=at) for at in range(0, values.shape[1], 5000))
    torch.testing.assert_close(singly, _project(made, values), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", ["countsketch", "rademacher"])
def test_projections_are_linear_and_differ_by_seed(kind: Kind) -> None:
    one, two = torch.randn(2, 1, 2000, generator=torch.Generator().manual_seed(0))
    made = projection(kind, dim=256, seed=1)
    torch.testing.assert_close(
        _project(made, 2 * one - two), 2 * _project(made, one) - _project(made, two), rtol=1e-4, atol=1e-4
    )
    assert not torch.allclose(_project(made, one), _project(projection(kind, dim=256, seed=2), one))


def test_inner_products_are_right_on_average_over_seeds() -> None:
    left, right = _correlated(2, 500)
    exact = float(left @ right)
    for kind in (CountSketch, Rademacher):
        found = [_project(kind(dim=128, seed=seed), torch.stack([left, right])) for seed in range(200)]
        products = torch.tensor([float(one @ other) for one, other in found])
        assert abs(float(products.mean()) - exact) < 4 * float(products.std()) / len(products) ** 0.5


def test_buckets_and_signs_are_even() -> None:
    ones = torch.ones(1, 1 << 20)
    spread = _project(CountSketch(dim=1024, seed=0), ones)
    assert abs(float(spread.sum())) < 5 * (1 << 10)
    assert 0.9 < float(spread.square().mean()) / (1 << 10) < 1.1


def test_a_zero_gradient_stays_zero() -> None:
    assert unit(torch.zeros(1, 4)).tolist() == [[0.0] * 4]
