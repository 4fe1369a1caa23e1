"""The low-rank Gaussian against dense linear algebra."""

import pytest
import torch

from bnnflow.bayes import LowRankMetric

CHAINS, ROWS, SIZE = 2, 5, 12


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def jacobian() -> torch.Tensor:
    return 3.0 * normal(CHAINS, ROWS, SIZE)


@pytest.fixture
def precision(jacobian: torch.Tensor) -> torch.Tensor:
    return torch.eye(SIZE, dtype=torch.float64) + jacobian.mT @ jacobian


def times(matrix: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def test_precision_and_covariance(jacobian: torch.Tensor, precision: torch.Tensor) -> None:
    metric, x = LowRankMetric.of(jacobian), normal(CHAINS, SIZE, seed=1)
    torch.testing.assert_close(x + metric.pull(metric.push(x)), times(precision, x))
    torch.testing.assert_close(metric.covariance(x), times(torch.linalg.inv(precision), x))


def test_condition_minimises(jacobian: torch.Tensor, precision: torch.Tensor) -> None:
    x, w = normal(CHAINS, SIZE, seed=1), normal(CHAINS, ROWS, seed=2)
    found = LowRankMetric.of(jacobian).condition(x, w)
    expected = times(torch.linalg.inv(precision), x - times(jacobian.mT, w))
    torch.testing.assert_close(found, expected)


def test_draws_have_the_covariance(jacobian: torch.Tensor, precision: torch.Tensor) -> None:
    count = 40_000
    metric = LowRankMetric.of(jacobian[:1].expand(count, -1, -1))
    draws = metric.draw(normal(count, SIZE, seed=3), normal(count, ROWS, seed=4))
    expected = torch.linalg.inv(precision[0])
    # Standard error of a covariance of unit variances: at most sqrt(2 / count) = 0.007.
    assert (torch.cov(draws.T) - expected).abs().max() < 0.03
    assert draws.mean(0).abs().max() < 0.02


def test_a_sharp_likelihood_keeps_its_digits_in_float32() -> None:
    """J J^T is 1e6 times the identity it is added to."""
    jacobian = 1e3 * normal(1, ROWS, SIZE, seed=5)
    x, w = normal(1, SIZE, seed=6), normal(1, ROWS, seed=7)
    exact = LowRankMetric.of(jacobian).condition(x, w)
    single = LowRankMetric.of(jacobian.float()).condition(x, w)
    torch.testing.assert_close(single, exact, rtol=1e-3, atol=1e-5)
