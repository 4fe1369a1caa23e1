"""Real spherical harmonics by recursion over l, each step one matrix product.

    Y_(l+1) = c_l  w3j(l, 1, l+1) : (Y_l x u),    u the unit vector, "component" normalisation

with c_l fixed by e3nn's own value at one point; few operations, so a cheap second derivative.
"""

from __future__ import annotations

import torch
from e3nn import o3
from torch import Tensor


class Harmonics(torch.nn.Module):
    """Harmonics of l = 0 to `lmax`, in e3nn's order and normalisation."""

    def __init__(self, lmax: int) -> None:
        super().__init__()
        self.lmax = lmax
        point = torch.tensor([[0.36, 0.48, 0.8]], dtype=torch.float64)
        now = point
        for degree in range(1, lmax + 1):
            known = o3.spherical_harmonics(degree, point, True, normalization="component")
            table = torch.eye(3, dtype=torch.float64)
            if degree > 1:
                table = o3.wigner_3j(degree - 1, 1, degree, dtype=torch.float64).flatten(0, 1)
                now = _outer(now, point)
            table = table * ((known @ (now @ table).T) / (now @ table).square().sum())
            now = known
            self.register_buffer(f"table_{degree}", table, persistent=False)

    def forward(self, unit: Tensor) -> Tensor:
        """Unit vectors (..., 3) to harmonics (..., (lmax + 1)^2)."""
        rows = [torch.ones_like(unit[..., :1])]
        now = unit
        for degree in range(1, self.lmax + 1):
            now = (_outer(now, unit) if degree > 1 else unit) @ self.get_buffer(f"table_{degree}")
            rows.append(now)
        return torch.cat(rows, dim=-1)


def _outer(left: Tensor, right: Tensor) -> Tensor:
    return (left.unsqueeze(-1) * right.unsqueeze(-2)).flatten(-2)
