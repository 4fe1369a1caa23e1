"""Conditioning a sample on new data: randomize, then optimise.

A sample phi of the posterior of the old data becomes one of the posterior of all data by

    phi' = argmin |phi' - phi|^2 + |r_old(phi') - r_old(phi)|^2 + |r_new(phi') - n|^2,  n ~ N(0, I)

in whitened parameters phi = (theta - theta0) / sigma_TL and whitened residuals
r = (prediction - label) / std. It moves as little as it can, in parameters and in what was already
learned, while it fits the new labels to within fresh noise. Where predictions are linear in phi
this is Matheron's rule and the new sample is exact; where they are not it is a start that fits the
data, for `hmc` to correct. Before any data a sample is a draw from the prior, N(0, I).

The minimum is found by Gauss-Newton steps in the space of the residuals. A Jacobian costs one
gradient per residual, so it is kept while the steps that it gives still do well.

Source: Bardsley, Solonen, Haario, Laine, SIAM J. Sci. Comput. 36, A1895 (2014); Matheron's rule as
in Wilson et al., JMLR 22, 105 (2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bnnflow.bayes.choose import choose
from bnnflow.bayes.lowrank import LowRankMetric
from bnnflow.errors import NonFiniteError

SMALLEST_GAIN = 0.05
"""A step that lowers the objective by less than this (a log density: 5 % in probability) ends."""
LARGEST_DUE = 0.5
"""A search is over when a linear problem would not gain more than this either."""
POOR_SHARE = 0.5
"""A step that gains less than this share of what a linear problem would asks for a new Jacobian."""
HALVINGS = 8
"""Times that a step may be halved."""


class LeastSquares(Protocol):
    """Whitened residuals r (k, M) of k chains at phi (k, P), their stds held fixed."""

    def jacobian(self, phi: Tensor) -> Tensor:
        """dr/dphi (k, M, P)."""
        ...

    def misfit(self, phi: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """r (k, M), and the gradient (k, P) of |r - target|^2 / 2 for target (k, M); float64."""
        ...


@dataclass(frozen=True, eq=False)
class Conditioned:
    """position (k, P) at the minimum; metric there or nearby; jacobians and gradients: how often
    the whole data set was differentiated row by row, and as a sum."""

    position: Tensor
    metric: LowRankMetric
    jacobians: int
    gradients: int


@dataclass(frozen=True, eq=False)
class _Point:
    """phi (k, P), r - target (k, M), its gradient (k, P), and the objective (k,)."""

    position: Tensor
    rows: Tensor
    slope: Tensor
    objective: Tensor


def condition(
    problem: LeastSquares, start: Tensor, target: Tensor, *, max_jacobians: int, max_steps: int
) -> Conditioned:
    """Minimise |phi - start|^2 + |r(phi) - target|^2 from `start` (k, P); target: (k, M).

    A new Jacobian is made for all chains when one of them needs it: give chains one by one where
    the result must not depend on who is beside. Raises NonFiniteError where `start` has no finite
    residuals.
    """
    here = _look(problem, start, start, target)
    if not bool(torch.isfinite(here.objective).all()):
        raise NonFiniteError(
            "a chain's residuals are not finite where its update starts: expected finite "
            "predictions; use a smaller potential.prior_std"
        )
    metric, fresh = LowRankMetric.of(problem.jacobian(start)), True
    jacobians, gradients = 1, 1
    for _ in range(max_steps):
        there, looks = _step(problem, here, metric, start, target)
        gradients += looks
        gain, due = here.objective - there.objective, _due(here, metric, start)
        settled, here = (gain < SMALLEST_GAIN) & (due < LARGEST_DUE), there
        if bool(settled.all()) or (fresh and bool((gain < SMALLEST_GAIN).all())):
            break
        fresh = bool((gain < POOR_SHARE * due).any()) and jacobians < max_jacobians
        if fresh:
            metric = LowRankMetric.of(problem.jacobian(here.position))
            jacobians += 1
    return Conditioned(here.position, metric, jacobians, gradients)


def _direction(here: _Point, metric: LowRankMetric, start: Tensor) -> Tensor:
    """The Gauss-Newton step -C gradient, with C of a Jacobian that may be an older one.

    J^T K^-1 rows is split off, because C J^T rows would lose it to cancellation.
    """
    remainder = here.slope - metric.pull(here.rows)
    return metric.condition(start - here.position - remainder, here.rows)


def _due(here: _Point, metric: LowRankMetric, start: Tensor) -> Tensor:
    """The decrease (k,) that a quadratic objective would show: half of gradient times step."""
    slope = here.position - start + here.slope
    return -0.5 * (slope * _direction(here, metric, start)).sum(-1)


def _step(
    problem: LeastSquares, here: _Point, metric: LowRankMetric, start: Tensor, target: Tensor
) -> tuple[_Point, int]:
    """The next point, and how many were looked at; a chain that gains nothing stays."""
    direction = _direction(here, metric, start)
    length = torch.ones_like(here.objective).unsqueeze(-1)
    for looks in range(1, HALVINGS + 1):
        there = _look(problem, here.position + length * direction, start, target)
        worse = ~(there.objective <= here.objective)
        if not bool(worse.any()):
            return there, looks
        length = torch.where(worse.unsqueeze(-1), 0.5 * length, length)
    return choose(worse, here, there), HALVINGS


def _look(problem: LeastSquares, phi: Tensor, start: Tensor, target: Tensor) -> _Point:
    residual, slope = problem.misfit(phi, target)
    rows = residual - target
    objective = 0.5 * (rows.square().sum(-1) + (phi - start).square().sum(-1))
    return _Point(phi, rows, slope, objective)
