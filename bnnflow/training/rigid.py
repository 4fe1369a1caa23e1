"""Directions in which the forces of a frame are zero, whatever the noise."""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-6
"""Singular value, relative to the largest, below which a direction does not count."""


def rigid_motions(positions: Tensor, *, periodic: bool) -> int:
    """Independent rigid displacements of atoms at (n, 3): translations, and rotations of what is
    not periodic. Forces that are a gradient of an invariant energy do no work along them.
    """
    if not len(positions):
        return 0
    moved = [torch.eye(3, dtype=torch.float64).repeat(len(positions), 1)]
    if not periodic:
        away = (positions - positions.mean(0)).double()
        turned = [torch.cross(axis.expand_as(away), away, dim=-1) for axis in torch.eye(3).double()]
        moved.append(torch.stack([each.flatten() for each in turned], dim=-1))
    values = torch.linalg.svdvals(torch.cat(moved, dim=-1))
    return int((values > SMALLEST * values[0]).sum())


def joined_to_images(edges: Tensor, shifts: Tensor, *, cutoff: float) -> bool:
    """Whether atoms of a frame see periodic images, which do not turn with it.

    edges: (2, E) and shifts: (E, 3) Å of a graph; padding joins an atom to itself further away than
    the cutoff, Å.
    """
    away = torch.linalg.vector_norm(shifts, dim=-1)
    padding = (edges[0] == edges[1]) & (away >= cutoff)
    return bool(((away > 0.0) & ~padding).any())
