"""The prior: a normal centred on the pre-trained weights (METHOD 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """theta ~ N(mean, std^2 I).

    mean: (P,), a copy of its own: a prior that shares memory with the live weights follows them
    and never pulls (DECISIONS 9); std: sigma_TL.
    """

    mean: Tensor
    std: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", self.mean.detach().clone())

    def gradient(self, theta: Tensor) -> Tensor:
        """Gradient of the negative log density at theta (k, P), in closed form."""
        return (theta - self.mean) / self.std**2

    def negative_log_density(self, theta: Tensor) -> Tensor:
        """Negative log density (k,) at theta (k, P)."""
        squares = ((theta - self.mean) / self.std).square().sum(-1)
        return 0.5 * squares + theta.shape[-1] * (math.log(self.std) + 0.5 * math.log(2 * math.pi))
