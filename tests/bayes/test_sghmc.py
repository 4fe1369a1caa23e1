"""SGHMC against Gaussian targets, whose posterior is known."""

import math

import pytest
import torch

from bnnflow.bayes import GaussianPrior, run_chains
from bnnflow.bayes.chain import ChainReport
from bnnflow.bayes.minibatch import Minibatch
from bnnflow.bayes.schedules import cosine_step_sizes, noise_temperatures
from bnnflow.errors import NonFiniteError

FRICTION = 0.1


def generators(n: int, seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(1000 * seed + index) for index in range(n)]


def sample_gaussian(
    precision: torch.Tensor, mean: torch.Tensor, *, n_copies: int, n_steps: int, n_data: int
) -> ChainReport:
    """Sample N(mean, precision^-1) in n_copies independent copies, side by side in 8 chains.

    The negative log density is n_data times the gradient given to the sampler.
    """
    dimension = len(mean)

    def gradient(theta: torch.Tensor, _: Minibatch) -> torch.Tensor:
        copies = theta.unflatten(-1, (n_copies // 8, dimension))
        return ((copies - mean) @ precision).flatten(1) / n_data

    return run_chains(
        torch.zeros(8, n_copies // 8 * dimension, dtype=torch.float64),
        gradient,
        n_data=n_data,
        batch=1,
        step_sizes=torch.full((n_steps,), 1e-2, dtype=torch.float64),
        temperatures=torch.ones(n_steps, dtype=torch.float64),
        friction=FRICTION,
        decay=0.999,
        epsilon=1e-4,
        freeze_mass_at=n_steps // 4,
        noise_generators=generators(8),
        batch_generators=generators(8, seed=1),
    )


def test_mean_and_covariance_of_a_correlated_gaussian() -> None:
    covariance = torch.tensor(
        [[1.0, 0.6, 0.0], [0.6, 2.0, -0.3], [0.0, -0.3, 0.5]], dtype=torch.float64
    )
    mean = torch.tensor([1.0, -0.5, 0.3], dtype=torch.float64)
    n_copies = 4000
    report = sample_gaussian(
        torch.linalg.inv(covariance), mean, n_copies=n_copies, n_steps=1500, n_data=4
    )
    samples = report.position.reshape(n_copies, 3)
    error = 4.0 * covariance.diagonal().sqrt() / math.sqrt(n_copies)
    assert torch.all((samples.mean(0) - mean).abs() < error)
    # One sampling standard error of a variance is 2.2 %; the integrator adds O(lr).
    assert torch.allclose(torch.cov(samples.T), covariance, atol=0.12, rtol=0.06)


def test_kinetic_temperature_of_a_stationary_chain() -> None:
    identity = torch.eye(5, dtype=torch.float64)
    report = sample_gaussian(
        identity, torch.zeros(5, dtype=torch.float64), n_copies=400, n_steps=1200, n_data=4
    )
    expected = 1.0 / (1.0 - FRICTION / 2.0)
    assert report.kinetic_temperature.mean().item() == pytest.approx(expected, rel=0.02)


def test_prior_pulls_and_does_not_follow_the_weights() -> None:
    weights = torch.zeros(3)
    prior = GaussianPrior.of(weights, 0.5)
    weights += 1.0
    assert torch.equal(prior.mean, torch.zeros(3))
    theta = weights.expand(2, 3).clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(prior.negative_log_density(theta).sum(), theta)
    assert torch.allclose(prior.gradient(theta.detach()), slope)
    assert torch.all(prior.gradient(theta.detach()) > 0)


def test_prior_density_is_a_normal_density() -> None:
    theta = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    prior = GaussianPrior.of(torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64), 0.7)
    normal = torch.distributions.Normal(prior.mean, torch.tensor(0.7, dtype=torch.float64))
    assert torch.allclose(prior.negative_log_density(theta), -normal.log_prob(theta).sum(-1))


def test_chains_do_not_depend_on_how_they_are_split() -> None:
    target = torch.linspace(0.5, 3.0, 6, dtype=torch.float64)

    def run(chains: list[int]) -> torch.Tensor:
        return run_chains(
            torch.zeros(len(chains), 6, dtype=torch.float64),
            lambda theta, batch: (theta - target) * batch.weight.sum(-1, keepdim=True),
            n_data=20,
            batch=5,
            step_sizes=cosine_step_sizes(n_steps=60, initial=1e-2),
            temperatures=noise_temperatures(n_steps=60, noise_free=12, ramp=3),
            friction=FRICTION,
            decay=0.999,
            epsilon=1e-4,
            freeze_mass_at=60,
            noise_generators=[generators(8)[c] for c in chains],
            batch_generators=[generators(8, 1)[c] for c in chains],
        ).position

    together = run(list(range(8)))
    apart = torch.cat([run([0, 1, 2]), run([3]), run([4, 5, 6, 7])])
    assert torch.equal(together, apart)
    assert not torch.allclose(together[0], together[1])


def test_a_chain_that_diverges_is_named() -> None:
    with pytest.raises(NonFiniteError, match=r"chains \[1\]"):
        run_chains(
            torch.zeros(2, 3),
            lambda theta, _: torch.tensor([[0.0], [math.inf]]).expand(2, 3),
            n_data=1,
            batch=1,
            step_sizes=torch.full((3,), 1e-3),
            temperatures=torch.ones(3),
            friction=FRICTION,
            decay=0.999,
            epsilon=1e-4,
            freeze_mass_at=3,
            noise_generators=generators(2),
            batch_generators=generators(2, 1),
        )


def test_schedules() -> None:
    sizes = cosine_step_sizes(n_steps=2000, initial=1e-3)
    assert sizes[0].item() == pytest.approx(1e-3, rel=1e-4)
    assert sizes[1000].item() == pytest.approx(0.5e-3, rel=1e-4)
    assert sizes[-1].item() < 1e-8 + 1e-9
    noise = noise_temperatures(n_steps=2000, noise_free=398, ramp=102)
    assert torch.all(noise[:398] == 0.0)
    assert torch.all(noise[398:499] > 0.0)
    assert torch.all(noise[398:499] < 1.0)
    assert torch.all(noise[499:] == 1.0)
