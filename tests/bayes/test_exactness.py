"""The default update against posteriors that are known, within the bar of the exactness table."""

import pytest
import torch
from exactness import BUDGET, SAMPLERS, SUCCESSIVE_CHAINS
from exactness_figures import (
    coverage,
    figures,
    kept_figures,
    passes,
    successive_figures,
    successive_updates,
)
from known_posteriors import curved, gaussian, known_posteriors, linear, network
from rto_samplers import independent

from bnnflow.records import RtoSpec

DEFAULT = "rto + hmc 20 x 5"
KEEPS = "rto + both 10 x 5, 7 x 20"
CHAINS = 256


def test_default_is_the_one_of_the_table() -> None:
    spec, sampler = RtoSpec("rto"), SAMPLERS[DEFAULT]
    for name in ("trajectories", "leapfrog_steps", "max_jacobians", "max_steps"):
        assert getattr(sampler, name) == getattr(spec, name)


@pytest.mark.parametrize("make", [gaussian, linear, curved, network])
def test_default_samples_what_it_says(make) -> None:
    """Variances within 20 %, means within 0.3 posterior standard deviations, within the budget;
    sampled 90 % intervals hold 85 to 95 % of the true posterior."""
    problem = make()
    sampled = SAMPLERS[DEFAULT](problem, CHAINS)
    assert sampled.cost <= BUDGET
    for name, group in figures(problem, sampled).items():
        assert passes(group), (name, group)
        assert 0.85 < group["coverage"] < 0.95, (name, group)


def test_default_goes_on_sampling_update_after_update() -> None:
    """Without new labels, chains agree and do not know where they were an update before."""
    default = independent(SAMPLERS[DEFAULT])
    phi = successive_updates(default, linear(), chains=SUCCESSIVE_CHAINS, updates=20)
    for name, group in successive_figures(linear(), phi).items():
        assert group["r_hat"] < 1.1, (name, group)
        assert group["size"] > 0.4 * SUCCESSIVE_CHAINS, (name, group)


def test_metrics_that_do_not_know_their_chain_keep_the_posterior() -> None:
    """Exact draws of a curved posterior stay exact; a shrinking one would show 0.8 here."""
    groups = kept_figures(SAMPLERS[KEEPS], chains=CHAINS, updates=2)
    for name, group in groups.items():
        assert passes(group), (name, group)
        assert group["low"] < 1.0 < group["high"] + 0.05, (name, group)


def test_coverage_tells_narrow_and_misplaced_samples() -> None:
    """Standard normal probes: 0.90 for exact samples, the normal's own integral for others."""
    problem, chains = linear(), 2000
    noise = torch.randn(chains, 60, generator=torch.Generator().manual_seed(0)).double()
    exact = problem.mean[:60] + noise * problem.variance[:60].sqrt()

    def mean_coverage(probes: torch.Tensor) -> float:
        new = problem.mean[60:].expand(chains, -1)
        return float(coverage(problem, torch.cat([probes, new], -1))[:60].mean())

    std = problem.variance[:60].sqrt()
    assert mean_coverage(exact) == pytest.approx(0.90, abs=0.005)
    assert mean_coverage(problem.mean[:60] + 0.5 * std * noise) == pytest.approx(0.589, abs=0.01)
    assert mean_coverage(exact + 2.0 * std) == pytest.approx(0.361, abs=0.01)


@pytest.mark.parametrize("make", [gaussian, linear, curved, network])
def test_distributions_have_the_moments(make) -> None:
    """Means and variances by integrating the distribution functions."""
    problem = make()
    std = problem.variance.sqrt()
    steps = torch.linspace(-12.0, 12.0, 4001, dtype=torch.float64).unsqueeze(-1)
    below = problem.distribution(problem.mean + steps * std)
    width, upper = 24.0 / 4000, (steps > 0.0).double()
    mean = width * (upper - below).sum(0)
    square = width * (2.0 * steps * (upper - below)).sum(0)
    assert mean.abs().max() < 0.02
    assert (square - 1.0).abs().max() < 0.05


def test_an_optimum_alone_is_not_a_sample() -> None:
    """The bar tells samplers apart: without HMC the curved problem does not pass."""
    groups = figures(curved(), SAMPLERS["rto"](curved(), CHAINS))
    assert not all(passes(group) for group in groups.values())


def test_problems_have_a_spread_to_find() -> None:
    for problem in known_posteriors():
        assert (problem.variance > 0.0).all() and len(problem.mean) == len(problem.variance)
        assert problem.residual(problem.prior_mean.expand(2, -1)).shape[1] == problem.labels.numel()
