"""A noise scale that is not known: drawn exactly in a linear model, alone and with parameters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bnnflow.bayes import LowRankMetric, draw_log_scale, implied

ROWS, PARAMETERS = 12, 5
PRIOR_MEAN, PRIOR_STD = -0.5, 0.8
SHARED = torch.arange(ROWS) % 4 > 0


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grid_log_density(jacobian: Tensor, labels: Tensor, scales: Tensor) -> Tensor:
    """log p(l | labels) on a grid by torch's own normal, up to a constant; unit other noise."""
    prior = torch.distributions.Normal(PRIOR_MEAN, PRIOR_STD).log_prob(scales)
    evidence = []
    for scale in scales:
        noise = torch.where(SHARED, (2.0 * scale).exp(), 1.0).double()
        covariance = jacobian @ jacobian.T + noise.diag()
        zero = labels.new_zeros(len(labels))
        evidence.append(torch.distributions.MultivariateNormal(zero, covariance).log_prob(labels))
    return torch.stack(evidence) + prior


@pytest.mark.parametrize("present", [0.0, -1.7])
@pytest.mark.parametrize("quantile", [0.05, 0.5, 0.9])
def test_quantiles_are_those_of_the_exact_posterior(present: float, quantile: float) -> None:
    jacobian, labels = normal(ROWS, PARAMETERS, seed=1), 2.0 * normal(ROWS, seed=2)
    grid = torch.linspace(-6.0, 5.0, 4001, dtype=torch.float64)
    density = grid_log_density(jacobian, labels, grid)
    share = (density - density.max()).exp().cumsum(0)
    exact = float(grid[(share / share[-1] < quantile).sum()])
    std = torch.where(SHARED, math.exp(present), 1.0).double()  # what rows are measured in
    drawn = draw_log_scale(
        (jacobian @ jacobian.T) / std.outer(std),
        -labels / std,
        SHARED,
        present=present,
        prior_mean=PRIOR_MEAN,
        prior_std=PRIOR_STD,
        quantile=quantile,
    )
    assert drawn == pytest.approx(exact, abs=0.02)


def test_many_rows_say_what_their_noise_is() -> None:
    """A posterior much narrower than the first grid's spacing is still found."""
    rows, noise = 600, 0.37
    drawn = draw_log_scale(
        torch.zeros(rows, rows, dtype=torch.float64),
        noise * normal(rows, seed=3),
        torch.ones(rows, dtype=torch.bool),
        present=0.0,
        prior_mean=0.0,
        prior_std=2.0,
        quantile=0.5,
    )
    assert drawn == pytest.approx(math.log(noise), abs=4.0 / math.sqrt(2.0 * rows))


def test_silent_directions_do_not_pull() -> None:
    """Zero rows added and declared silent leave the posterior as it is; undeclared they do not."""
    jacobian, labels = normal(ROWS, PARAMETERS, seed=1), 2.0 * normal(ROWS, seed=2)
    settings = {
        "present": 0.0,
        "prior_mean": PRIOR_MEAN,
        "prior_std": PRIOR_STD,
        "quantile": 0.4,
    }
    alone = draw_log_scale(jacobian @ jacobian.T, labels, SHARED, **settings)
    wide = torch.cat([jacobian, jacobian.new_zeros(6, PARAMETERS)])
    rows = torch.cat([labels, labels.new_zeros(6)])
    shared = torch.cat([SHARED, torch.ones(6, dtype=torch.bool)])
    declared = draw_log_scale(wide @ wide.T, rows, shared, silent=6, **settings)
    undeclared = draw_log_scale(wide @ wide.T, rows, shared, **settings)
    assert declared == pytest.approx(alone, abs=1e-6)
    assert undeclared < alone - 0.2


def test_implied_origin_is_standard_normal_and_stationary() -> None:
    """Draws of a linear posterior, traced back: the origins are N(0, I), and lead to the draws."""
    chains = 4000
    jacobian = normal(ROWS, PARAMETERS, seed=5).expand(chains, -1, -1)
    labels = normal(ROWS, seed=6)
    metric = LowRankMetric.of(jacobian)
    draws = metric.condition(
        normal(chains, PARAMETERS, seed=7), -labels - normal(chains, ROWS, seed=8)
    )
    rows = metric.push(draws) - labels
    anchor, noise = implied(
        metric, draws, rows, normal(chains, PARAMETERS, seed=9), normal(chains, ROWS, seed=10)
    )
    torch.testing.assert_close(anchor + metric.pull(noise), draws + metric.pull(rows))
    origin = torch.cat([anchor, noise], dim=1)
    assert origin.mean(0).abs().max() < 4.5 / math.sqrt(chains)
    covariance = torch.cov(origin.T)
    assert (covariance - torch.eye(len(covariance))).abs().max() < 5.0 * math.sqrt(2.0 / chains)


def test_scales_below_the_rounding_of_the_rows_are_left_out() -> None:
    """Rows of rank one and a prior that reaches down to e^-60: no failure, the same posterior."""
    row = 1e4 * normal(1, PARAMETERS, seed=11).float().double()
    jacobian = row.expand(ROWS, -1) * normal(ROWS, 1, seed=12)
    labels = jacobian @ normal(PARAMETERS, seed=13) + 0.5 * normal(ROWS, seed=14)
    every = torch.ones(ROWS, dtype=torch.bool)
    settings = {"present": 0.0, "prior_mean": 0.0, "quantile": 0.5}
    wide = draw_log_scale(jacobian @ jacobian.T, labels, every, prior_std=20.0, **settings)
    narrow = draw_log_scale(jacobian @ jacobian.T, labels, every, prior_std=4.0, **settings)
    assert wide == pytest.approx(narrow, abs=0.1)
    assert wide == pytest.approx(math.log(0.5), abs=0.7)
