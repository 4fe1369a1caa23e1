"""R-hat and effective sample size of the exactness table against closed forms."""

import numpy as np
import pytest
from convergence import bulk_size, r_hat, scale_reduction

CHAINS, DRAWS = 8, 2000


def independent(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def autoregressive(rho: float, quantities: int = 4) -> np.ndarray:
    """Stationary AR(1) of unit variance."""
    noise = independent(CHAINS, DRAWS, quantities, seed=1)
    draws = noise.copy()
    for step in range(1, DRAWS):
        draws[:, step] = rho * draws[:, step - 1] + (1.0 - rho**2) ** 0.5 * noise[:, step]
    return draws


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
def test_size_of_an_autoregressive_chain(rho: float) -> None:
    """n (1 - rho) / (1 + rho)."""
    expected = CHAINS * DRAWS * (1.0 - rho) / (1.0 + rho)
    assert bulk_size(autoregressive(rho)).mean() == pytest.approx(expected, rel=0.15)


def test_few_independent_draws_count_in_full() -> None:
    """As in the table, 8 chains of 20 draws: short chains read up to a quarter too many."""
    size = bulk_size(independent(8, 20, 200))
    assert 160.0 < size.mean() < 1.3 * 160.0


def test_chains_apart_from_one_another() -> None:
    """Means spread by s around the same: sqrt(1 + s^2)."""
    spread = 0.7
    places = np.linspace(-1.0, 1.0, CHAINS)
    places *= spread / places.std(ddof=1)
    draws = independent(CHAINS, DRAWS, 3) + places[:, None, None]
    assert scale_reduction(draws) == pytest.approx((1.0 + spread**2) ** 0.5, rel=0.02)
    assert (r_hat(draws) > 1.1).all()
    assert (bulk_size(draws) < 2 * CHAINS * 2).all()


def test_chains_that_agree() -> None:
    assert (r_hat(independent(CHAINS, DRAWS, 3)) < 1.01).all()


def test_drift_and_unequal_widths_show() -> None:
    draws = independent(CHAINS, DRAWS, 1)
    drift = np.linspace(-1.0, 1.0, DRAWS)[:, None]
    widths = np.where(np.arange(CHAINS) % 2, 1.0, 3.0)[:, None, None]
    assert r_hat(draws + drift) > 1.1
    assert r_hat(draws * widths) > 1.1
    assert scale_reduction(draws * widths) < 1.01


def test_only_ranks_count_for_the_bulk() -> None:
    draws = autoregressive(0.5)
    assert bulk_size(np.exp(draws)) == pytest.approx(bulk_size(draws), rel=1e-12)
