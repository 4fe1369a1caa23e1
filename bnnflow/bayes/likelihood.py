"""Independent normal likelihoods of energy, forces and stress (METHOD 1).

Each function gives the negative log-likelihood of every frame without the constant (1/2) log 2 pi.
Leading axes (k members, b frames) are free as long as they broadcast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def energy_nll(*, energy: Tensor, target: Tensor, std: float | Tensor) -> Tensor:
    """-log N(target | energy, std^2) per frame (..., b); energy, target: (..., b) eV; std: eV,
    one or (..., b)."""
    log_std = std.log() if isinstance(std, Tensor) else math.log(std)
    return 0.5 * ((energy - target) / std).square() + log_std


def force_nll(*, forces: Tensor, target: Tensor, std: Tensor, mask: Tensor) -> Tensor:
    """-log N over every force component, summed per frame (..., b).

    forces, target: (..., b, n, 3) eV/Å; std: (..., b, n) eV/Å, one for the three components of an
    atom; mask: (..., b, n), 0 where there is no atom.
    """
    scaled = (forces - target) / std.unsqueeze(-1)
    per_atom = 0.5 * scaled.square().sum(-1) + 3.0 * torch.log(std)
    return (per_atom * mask).sum(-1)


def stress_nll(
    *, stress: Tensor, target: Tensor, std: float, off_diagonal_count: int = 1
) -> Tensor:
    """-log N over the six independent stress components per frame; (..., b, 6) eV/Å³.

    off_diagonal_count: times that yz, xz and xy are counted; once, or as a 3 x 3 tensor twice.
    """
    count = stress.new_tensor([1.0] * 3 + [off_diagonal_count] * 3)
    squares = count * (0.5 * ((stress - target) / std).square())
    return squares.sum(-1) + 3.0 * (1 + off_diagonal_count) * math.log(std)
