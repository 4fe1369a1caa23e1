"""Conditioning a sample on new data: randomize, then optimise.

With whitened parameters phi = (theta - theta0) / s and whitened residuals
r = (prediction - label) / std, a draw of the posterior is the minimum

    phi' = argmin |phi' - anchor|^2 + |r(phi') - n|^2,  anchor ~ N(0, I), n ~ N(0, I)

exactly where predictions are linear in phi; where they are not it is a start that fits the data,
for `hmc` to correct. A sample phi of the posterior of the old data goes on from the (anchor, n_old)
that it may have come from (`implied`), with fresh noise for the new labels alone: it moves as
little as it can, in parameters and in what was already learned, while it fits the new labels. That
is Matheron's rule. Before any data a sample is a draw from the prior, its own anchor.

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

SMALLEST_GAIN = 0.5
"""A step that lowers the objective (a log density, of hundreds of rows) by less than this ends."""
LARGEST_DUE = 1.5
"""A search is over when a linear problem would not gain more than this either."""
POOR_SHARE = 0.5
"""A step that gains less than this share of what a linear problem would asks for a new Jacobian."""
HALVINGS = 5
"""Times that a step may be halved."""
FAR_PER_ROW = 10.0
"""Objective per residual (1/2 is usual at a minimum) above which the data are not found yet."""


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


def implied(
    metric: LowRankMetric, phi: Tensor, rows: Tensor, prior_noise: Tensor, row_noise: Tensor
) -> tuple[Tensor, Tensor]:
    """(anchor (k, P), n (k, M)) whose minimum is phi (k, P), drawn from all that there are.

    metric: of the Jacobian at phi, where the residuals are `rows` (k, M); prior_noise, row_noise:
    standard normals (k, P), (k, M). They are standard normals conditioned on anchor + J^T n =
    phi + J^T rows, which says that phi is stationary.
    """
    away = metric.condition(phi - prior_noise, row_noise - rows)
    return prior_noise + away, row_noise + metric.push(away)


def condition(
    problem: LeastSquares,
    start: Tensor,
    target: Tensor,
    *,
    max_jacobians: int,
    max_steps: int,
    anchor: Tensor | None = None,
    metric: LowRankMetric | None = None,
) -> Conditioned:
    """Minimise |phi - anchor|^2 + |r(phi) - target|^2 from `start` (k, P); target: (k, M).

    anchor: (k, P), `start` if None; metric: of the Jacobian at `start`, made if None;
    max_jacobians: of a search that is near the data, a distant one may have one per step. A new
    Jacobian is made for all chains when one of them needs it: give chains one by one where the
    result must not depend on who is beside. Raises NonFiniteError where `start` has no finite
    residuals.
    """
    anchor = start if anchor is None else anchor
    here = _look(problem, start, anchor, target)
    require_finite(here.objective)
    jacobians, gradients, fresh = int(metric is None), 1, True
    metric = LowRankMetric.of(problem.jacobian(start)) if metric is None else metric
    for _ in range(max_steps):
        there, looks = _step(problem, here, metric, anchor, target)
        gradients += looks
        gain, due = here.objective - there.objective, _due(here, metric, anchor)
        settled, here = (gain < SMALLEST_GAIN) & (due < LARGEST_DUE), there
        if bool(settled.all()) or (fresh and bool((gain < SMALLEST_GAIN).all())):
            break
        # HMC cannot bring back a chain that is left far off: it would accept nothing, ever.
        allowed = jacobians < max_jacobians or _far(here)
        fresh = allowed and bool((gain < POOR_SHARE * due).any())
        if fresh:
            metric = LowRankMetric.of(problem.jacobian(here.position))
            jacobians += 1
    return Conditioned(here.position, metric, jacobians, gradients)


def _far(here: _Point) -> bool:
    """Whether any chain has not found the data."""
    return bool((here.objective > FAR_PER_ROW * here.rows.shape[-1]).any())


def require_finite(*values: Tensor) -> None:
    """Raises NonFiniteError where residuals, or what follows from them, are not finite."""
    if not all(bool(torch.isfinite(value).all()) for value in values):
        raise NonFiniteError(
            "a chain's residuals are not finite where its update starts: expected finite "
            "predictions; use a smaller potential.prior_std"
        )


def _direction(here: _Point, metric: LowRankMetric, anchor: Tensor) -> Tensor:
    """The Gauss-Newton step -C gradient, with C of a Jacobian that may be an older one.

    J^T K^-1 rows is split off, because C J^T rows would lose it to cancellation.
    """
    remainder = here.slope - metric.pull(here.rows)
    return metric.condition(anchor - here.position - remainder, here.rows)


def _due(here: _Point, metric: LowRankMetric, anchor: Tensor) -> Tensor:
    """The decrease (k,) that a quadratic objective would show: half of gradient times step."""
    slope = here.position - anchor + here.slope
    return -0.5 * (slope * _direction(here, metric, anchor)).sum(-1)


def _step(
    problem: LeastSquares, here: _Point, metric: LowRankMetric, anchor: Tensor, target: Tensor
) -> tuple[_Point, int]:
    """The next point, and how many were looked at; a chain that gains nothing stays."""
    direction = _direction(here, metric, anchor)
    length = torch.ones_like(here.objective).unsqueeze(-1)
    for looks in range(1, HALVINGS + 1):
        there = _look(problem, here.position + length * direction, anchor, target)
        worse = ~(there.objective <= here.objective)
        if not bool(worse.any()):
            return there, looks
        length = torch.where(worse.unsqueeze(-1), 0.5 * length, length)
    return choose(worse, here, there), HALVINGS


def _look(problem: LeastSquares, phi: Tensor, anchor: Tensor, target: Tensor) -> _Point:
    residual, slope = problem.misfit(phi, target)
    rows = residual - target
    objective = 0.5 * (rows.square().sum(-1) + (phi - anchor).square().sum(-1))
    return _Point(phi, rows, slope, objective)
