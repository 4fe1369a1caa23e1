"""Selection by uncertainty: the frames whose energies tell most of which member is right.

Members' energies make a Gaussian prior over the energies of all candidates, with the covariance
of the members. The candidate of largest variance is chosen, the others are conditioned on its label
with the noise of the likelihood, and so on: a frame much like one that was chosen already has
little variance left. (A greedy D-optimal design, or pivoted Cholesky.)
"""

from __future__ import annotations

import numpy as np

from bnnflow.records import FloatArray


def most_uncertain(
    energies: FloatArray, first: FloatArray, *, noise_std: float, n_frames: int
) -> tuple[int, ...]:
    """Indices of at most `n_frames` candidates, in the order in which they are chosen.

    energies: (m, k) eV of the candidates by k members; first: (k,) of the frame whose label puts
    every member on the reference's scale; noise_std: of a label's energy, eV.
    """
    relative = energies - first
    deviations = relative - relative.mean(axis=1, keepdims=True)
    covariance = deviations @ deviations.T / (energies.shape[1] - 1)
    chosen: list[int] = []
    for _ in range(min(n_frames, len(energies))):
        left = np.where(np.isin(np.arange(len(energies)), chosen), -np.inf, np.diag(covariance))
        pivot = int(left.argmax())
        chosen.append(pivot)
        column = covariance[:, pivot]
        covariance = covariance - np.outer(column, column) / (column[pivot] + noise_std**2)
    return tuple(chosen)
