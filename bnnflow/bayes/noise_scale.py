"""The scale of a noise that is not known beforehand, drawn with the parameters integrated out.

Some of the labels y share a noise std of unknown scale e^l, l ~ N(m, s^2) a priori. Where the
predictions are linear in the whitened parameters, with Jacobian J at the present scale, the
parameters integrate to a normal, and

    log p(l | y) = -1/2 log|J J^T + S| - 1/2 y^T (J J^T + S)^-1 y - (l - m)^2 / (2 s^2) + const

with S = e^(2 (l - present)) for the rows that share the scale and 1 for the others. Directions in
which rows are zero whatever the noise (`silent`) would count as a perfect fit; they are left out,
+ silent * l. Drawing l from
it first and the parameters given l next samples both exactly, however tightly they are bound; a
chain that moves both together hardly moves at all, for a smaller noise wants other parameters.

The draw is the quantile of a number given for the chain, so that a chain moves no further than its
posterior does when data arrive.

Source: evidence of a linear model, MacKay, Neural Comput. 4, 415 (1992).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

POINTS = 33
"""Of a grid; each costs a Cholesky factor."""
NATS = 10.0
"""Log density below the largest at which the grid may end."""
ENOUGH = 16
"""Points within `NATS` of the largest that a grid needs."""
ZOOMS = 5
WIDEST = 3.0
"""Prior stds on each side of its mean where the first grid ends."""


def draw_log_scale(
    gram: Tensor,
    rows: Tensor,
    shared: Tensor,
    *,
    present: float,
    prior_mean: float,
    prior_std: float,
    quantile: float,
    silent: int = 0,
) -> float:
    """l, given J J^T (M, M) and residuals extrapolated to zero parameters (M,), both in stds of
    the present scale e^present; shared: (M,) bool, rows that have the scale; quantile: in (0, 1);
    silent: directions among those rows that carry neither signal nor noise.
    """

    def log_density(scale: float) -> float:
        evidence = _log_evidence(gram, rows, shared, 2.0 * (scale - present))
        return evidence + silent * (scale - present) - 0.5 * ((scale - prior_mean) / prior_std) ** 2

    def log_densities(grid: Tensor) -> Tensor:
        return torch.tensor([log_density(float(x)) for x in grid], dtype=torch.float64)

    widest = WIDEST * prior_std
    grid = torch.linspace(prior_mean - widest, prior_mean + widest, POINTS, dtype=torch.float64)
    density = log_densities(grid)
    for _ in range(ZOOMS):
        high = (density > density.max() - NATS).nonzero().flatten()
        if len(high) >= ENOUGH:
            break
        low, top = max(int(high[0]) - 1, 0), min(int(high[-1]) + 1, POINTS - 1)
        grid = torch.linspace(float(grid[low]), float(grid[top]), POINTS, dtype=torch.float64)
        density = log_densities(grid)
    return _quantile(grid, (density - density.max()).exp(), quantile)


def _log_evidence(gram: Tensor, rows: Tensor, shared: Tensor, log_variance: float) -> float:
    noise = torch.ones_like(rows).masked_fill(shared, math.exp(log_variance))
    cholesky, failed = torch.linalg.cholesky_ex(gram + noise.diag())
    if int(failed):  # a noise below the rounding of J J^T: no scale to believe in
        return -math.inf
    white = torch.linalg.solve_triangular(cholesky, rows.unsqueeze(-1), upper=False)
    return float(-cholesky.diagonal().log().sum() - 0.5 * white.square().sum())


def _quantile(grid: Tensor, density: Tensor, quantile: float) -> float:
    """Of a density given on a grid, linear between its points."""
    share = torch.cumulative_trapezoid(density, grid)
    share = torch.cat([share.new_zeros(1), share]) / share[-1]
    right = int(torch.searchsorted(share, quantile).clamp(1, len(grid) - 1))
    left = right - 1
    part = (quantile - share[left]) / (share[right] - share[left])
    return float(grid[left] + part * (grid[right] - grid[left]))
