"""The Gaussian of a linearised likelihood under a standard normal prior, through its few rows.

With J (M, P) the Jacobian of M whitened residuals in whitened parameters, the precision is
I + J^T J and the covariance C = I - J^T K^-1 J with K = I + J J^T (Woodbury): M x M numbers
instead of P x P. Chains are the leading axis of everything.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

COLUMNS_AT_ONCE = 8192
"""Parameters that enter K at once; bounds the memory of their float64 copy."""


def gram(jacobian: Tensor) -> Tensor:
    """J J^T (k, M, M) of J (k, M, P), in float64: sharp likelihoods make it 1e6 times larger than
    the I that it is added to."""
    rows = jacobian.shape[-2]
    total = jacobian.new_zeros(len(jacobian), rows, rows, dtype=torch.float64)
    for part in jacobian.split(COLUMNS_AT_ONCE, dim=-1):
        wide = part.double()
        total.baddbmm_(wide, wide.mT)
    return total


@dataclass(frozen=True, eq=False)
class LowRankMetric:
    """jacobian: J (k, M, P), in any precision; cholesky: lower factor of K (k, M, M), float64.

    Vectors are float64: x (k, P) in parameter space, w (k, M) in row space.
    """

    jacobian: Tensor
    cholesky: Tensor

    @classmethod
    def of(cls, jacobian: Tensor) -> LowRankMetric:
        """Build from J (k, M, P)."""
        rows = torch.eye(jacobian.shape[-2], dtype=torch.float64, device=jacobian.device)
        return cls(jacobian, torch.linalg.cholesky(rows + gram(jacobian)))

    def push(self, x: Tensor) -> Tensor:
        """J x."""
        moved = self.jacobian @ x.to(self.jacobian.dtype).unsqueeze(-1)
        return moved.squeeze(-1).double()

    def pull(self, w: Tensor) -> Tensor:
        """J^T w."""
        moved = w.to(self.jacobian.dtype).unsqueeze(-2) @ self.jacobian  # row by row in memory
        return moved.squeeze(-2).double()

    def covariance(self, x: Tensor) -> Tensor:
        """C x."""
        return self.condition(x, torch.zeros_like(self.cholesky[..., 0]))

    def condition(self, x: Tensor, w: Tensor) -> Tensor:
        """The d that minimises |d - x|^2 + |J d + w|^2: x - J^T K^-1 (J x + w)."""
        rows = (self.push(x) + w).unsqueeze(-1)
        return x - self.pull(torch.cholesky_solve(rows, self.cholesky).squeeze(-1))

    def draw(self, prior_noise: Tensor, row_noise: Tensor) -> Tensor:
        """A draw from N(0, C) out of standard normals (k, P) and (k, M): Matheron's rule."""
        return self.condition(prior_noise, -row_noise)
