"""HMC around a Gaussian: exact on that Gaussian, correct on others, reversible."""

from __future__ import annotations

import math

import torch

from bnnflow.bayes import JointDraws, LowRankMetric, run_hmc
from bnnflow.bayes.hmc import FIRST_STEP

SIZE = 6


def draws(count: int) -> list[JointDraws]:
    return [JointDraws((torch.Generator().manual_seed(index),)) for index in range(count)]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def metric_of(scale: float, count: int) -> LowRankMetric:
    return LowRankMetric.of(scale * normal(1, 3, SIZE, seed=1).expand(count, -1, -1))


def test_gaussian_target_is_accepted_always_and_forgotten_at_once() -> None:
    count = 2000
    metric = metric_of(20.0, count)
    centre = normal(1, SIZE, seed=2)

    def density(phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        away = phi - centre
        slope = away + metric.pull(metric.push(away))
        return 0.5 * (away * slope).sum(-1), slope

    start = torch.zeros(count, SIZE, dtype=torch.float64)
    report = run_hmc(density, start, metric, trajectories=40, leapfrog_steps=4, draws=draws(count))
    assert report.acceptance.min() > 1.0 - 1e-9
    assert torch.all(report.step_size > FIRST_STEP)
    jacobian = metric.jacobian[0]
    covariance = torch.linalg.inv(torch.eye(SIZE, dtype=torch.float64) + jacobian.T @ jacobian)
    scale = covariance.diagonal().sqrt()
    away = (report.position - centre) / scale
    assert away.mean(0).abs().max() < 4.0 / count**0.5
    expected = covariance / (scale * scale.unsqueeze(-1))
    assert (torch.cov(away.T) - expected).abs().max() < 4.0 * (2.0 / count) ** 0.5
    assert abs(report.kinetic_temperature.mean().item() - 1.0) < 0.02


def test_another_target_is_sampled_whatever_the_gaussian() -> None:
    """log cosh: not Gaussian, known variance pi^2 / 4; the metric is wrong on purpose."""
    count = 1500
    metric = metric_of(0.7, count)

    def density(phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.log(torch.cosh(phi)).sum(-1), torch.tanh(phi)

    start = torch.ones(count, SIZE, dtype=torch.float64)
    report = run_hmc(density, start, metric, trajectories=60, leapfrog_steps=4, draws=draws(count))
    assert 0.6 < report.acceptance.mean() < 0.999
    variance = report.position.var(0)
    # Kurtosis of the sech density is 5: the standard error of a variance is sqrt(4 / count).
    assert (variance / (math.pi**2 / 4) - 1.0).abs().max() < 4.0 * (4.0 / count) ** 0.5
    assert report.position.mean(0).abs().max() < 4.0 * (math.pi / 2) / count**0.5


def test_proposals_without_a_density_are_never_taken() -> None:
    """A wall: U is infinite, or not a number, for a negative first coordinate."""
    metric = metric_of(0.1, 200)

    def density(phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        energy = 0.5 * phi.square().sum(-1)
        return torch.where(phi[:, 0] < 0.0, torch.nan, energy), phi

    start = torch.ones(200, SIZE, dtype=torch.float64)
    report = run_hmc(density, start, metric, trajectories=30, leapfrog_steps=3, draws=draws(200))
    assert torch.all(report.position[:, 0] >= 0.0)
    # A half normal: mean sqrt(2 / pi).
    assert abs(report.position[:, 0].mean().item() - math.sqrt(2 / math.pi)) < 0.2


def test_chains_do_not_depend_on_how_they_are_split() -> None:
    metric = metric_of(2.0, 3)

    def density(phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.log(torch.cosh(phi)).sum(-1), torch.tanh(phi)

    def run(rows: list[int]) -> torch.Tensor:
        all_three = draws(3)
        part = LowRankMetric(metric.jacobian[rows], metric.cholesky[rows])
        return run_hmc(
            density,
            torch.zeros(len(rows), SIZE, dtype=torch.float64),
            part,
            trajectories=4,
            leapfrog_steps=3,
            draws=[all_three[row] for row in rows],
        ).position

    torch.testing.assert_close(run([0, 1, 2]), torch.cat([run([0]), run([1, 2])]))
