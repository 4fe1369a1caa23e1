"""A potential on an accelerator is compared with the same one on the CPU before it is used.

Compilers and accelerators have given wrong forces beside exact energies (torch 2.13, a compiled
periodic case: 91 % off), so everything that a run takes from a potential is looked at.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bnnflow.errors import ModelError
from bnnflow.potentials.graphs import GraphBatch
from bnnflow.potentials.protocol import Potential
from bnnflow.records import Structure

TOLERANCE = {torch.float32: 2e-3, torch.float64: 1e-8}
"""Largest difference, relative to the largest value of a quantity."""
SCATTER = 0.05
"""Std of two members' weights around the pre-trained ones: members are looked at side by side."""


def check_same(reference: Potential, moved: Potential, device: torch.device) -> None:
    """Compare a potential on a device with its like on the CPU, on four atoms in a periodic cell.

    Raises ModelError, naming the quantity, when energy, forces, stress, force std or their gradient
    by the parameters differ by more than rounding.
    """
    batch, members = _probe(reference)
    found = _answers(moved, batch.to(device), members.to(device))
    for name, value in _answers(reference, batch, members).items():
        worst = float((found[name] - value).abs().max() / value.abs().max())
        if not worst <= TOLERANCE[reference.dtype]:  # nor when it is not a number
            raise ModelError(
                f"{name} of the model on {device} differs from that on the CPU by {worst:.1e} of "
                f"its largest value, expected at most {TOLERANCE[reference.dtype]:.0e}: set "
                "potential.device to cpu"
            )


def _probe(potential: Potential) -> tuple[GraphBatch, Tensor]:
    """One frame, and two members (2, P)."""
    numbers = np.resize(potential.elements[:4], 4)
    places = np.array([[0.1, 0.0, 0.0], [1.6, 0.2, 0.1], [0.2, 1.5, -0.2], [0.3, 0.4, 1.7]])
    cell = np.array([[4.1, 0.0, 0.0], [0.4, 4.4, 0.0], [-0.3, 0.2, 4.7]])
    batch = potential.collate([Structure(numbers, places, cell, np.ones(3, dtype=bool))])
    mean = potential.prior_mean()
    noise = torch.randn(2, len(mean), generator=torch.Generator().manual_seed(0)).to(mean)
    return batch, mean + SCATTER * noise


def _answers(potential: Potential, batch: GraphBatch, members: Tensor) -> dict[str, Tensor]:
    """Predictions, and the gradient of all of them together; on the CPU."""
    leaf = members.clone().requires_grad_(True)
    output = potential.evaluate(leaf, batch, stress=potential.has_stress, create_graph=True)
    values = {name: value for name, value in output._asdict().items() if value is not None}
    total = sum((value / value.detach().abs().max()).square().sum() for value in values.values())
    (values["gradient"],) = torch.autograd.grad(total, leaf)
    return {name: value.detach().cpu() for name, value in values.items()}
