"""Directions in which the forces of a frame are zero, whatever the weights and the noise.

Net force and torque of an isolated molecule are; and where a frame is symmetric, all displacements
that are not: of the 18 forces of C2H4 as it is built three can differ, of those of CH3CN four. The
force rows of a frame's Jacobian have no part along them, up to rounding, and that is how they are
told: a crystal's images, slabs and linear molecules need no rule of their own.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-5
"""Of a direction's derivatives, relative to the loudest of its frame. Rounding of float32 gives
1e-7; displacements of 0.003 Å from a symmetric frame give 4e-5 and more."""


def silent_directions(gram: Tensor, force_rows: Tensor, n_frames: int) -> int:
    """How many there are in all frames together.

    gram: (M, M) J Jᵀ of the residuals, frame by frame; force_rows: (M,) True for forces that count.
    """
    frames = force_rows.unflatten(0, (n_frames, -1))
    size = frames.shape[1]
    total = 0
    for frame, kept in enumerate(frames):
        rows = frame * size + kept.nonzero().flatten()
        if not len(rows):
            continue
        values = torch.linalg.eigvalsh(gram[rows][:, rows])
        total += int((values <= SMALLEST**2 * values[-1].clamp(min=0.0)).sum())
    return total
