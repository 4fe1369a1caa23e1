"""Distribution functions of single probes under a true posterior, to measure coverage with.

Each maps values (n, Q), a column per probe, to probabilities (n, Q) that the probe is smaller.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

GRID = torch.linspace(-6.0, 6.0, 1201, dtype=torch.float64)

Distribution = Callable[[Tensor], Tensor]


def normal_distribution(mean: Tensor, variance: Tensor) -> Distribution:
    """Of normal probes; mean, variance: (Q,)."""
    return lambda values: torch.special.ndtr((values - mean) / variance.sqrt())


def tabled_distribution(values: Tensor, probabilities: Tensor) -> Distribution:
    """Linear between the points of a table; values, probabilities: (Q, L), rising."""

    def distribution(x: Tensor) -> Tensor:
        columns = x.T.contiguous()
        right = torch.searchsorted(values, columns).clamp(1, values.shape[-1] - 1)
        (x0, x1), (p0, p1) = (
            (table.gather(-1, right - 1), table.gather(-1, right))
            for table in (values, probabilities)
        )
        share = ((columns - x0) / (x1 - x0)).clamp(0.0, 1.0)
        return torch.lerp(p0, p1, share).T

    return distribution


@cache
def banana_marginals(label: float, noise: float) -> Tensor:
    """(2, G) weights of a and of b on GRID: both standard normal, a + b^2 seen with `noise`."""
    a, b = torch.meshgrid(GRID, GRID, indexing="ij")
    log_density = -0.5 * (a.square() + b.square() + ((a + b.square() - label) / noise).square())
    weight = torch.softmax(log_density.flatten(), 0).reshape(a.shape)
    return torch.stack([weight.sum(1), weight.sum(0)])


def weights_distribution(weights: Tensor) -> Distribution:
    """Of probes that are known by weights (Q, G) on GRID, half of each point's on either side."""
    return tabled_distribution(GRID.repeat(len(weights), 1), weights.cumsum(-1) - 0.5 * weights)


def banana_draws(label: float, noise: float, generator: torch.Generator, count: int) -> Tensor:
    """(count, 2) exact draws of (a, b): b from its marginal, then a, which is normal given b."""
    picked = torch.multinomial(banana_marginals(label, noise)[1], count, True, generator=generator)
    jitter = torch.rand(count, generator=generator, dtype=torch.float64) - 0.5
    b = GRID[picked] + jitter * (GRID[1] - GRID[0])
    precision = 1.0 + noise**-2
    mean = (label - b.square()) * noise**-2 / precision
    spread = torch.randn(count, generator=generator, dtype=torch.float64) / precision**0.5
    return torch.stack([mean + spread, b], dim=-1)
