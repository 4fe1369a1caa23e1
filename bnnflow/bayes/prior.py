"""The prior: a normal centred on the pre-trained weights (METHOD 2)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """theta ~ N(mean, diag(std^2)).

    mean: (P,), a copy of its own: a prior that shares memory with the live weights follows them
    and never pulls (DECISIONS 9); std: (P,). Make it with `of`.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, mean: Tensor, std: float | Tensor) -> GaussianPrior:
        """mean: (P,); std: one for all parameters, or (P,)."""
        wide = torch.as_tensor(std, dtype=mean.dtype, device=mean.device)
        return cls(mean.detach().clone(), wide.expand(mean.shape).clone())

    def gradient(self, theta: Tensor) -> Tensor:
        """Gradient of the negative log density at theta (k, P), in closed form."""
        return (theta - self.mean).div_(self.std**2)

    def negative_log_density(self, theta: Tensor) -> Tensor:
        """Negative log density (k,) at theta (k, P)."""
        squares = ((theta - self.mean) / self.std).square() + math.log(2 * math.pi)
        return (0.5 * squares + self.std.log()).sum(-1)
