"""Farthest-point selection: frames that between them cover the environments of all candidates.

Gonzalez's greedy rule for the k-centre problem (Theor. Comput. Sci. 38, 293 (1985)), with frames
as batches of environments: next comes the frame that holds the environment farthest from any
environment, of the same element, in the frames that are there already. One atom with a new
neighbourhood is enough: it is what a potential of local terms has to learn.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from bnnflow.records import FloatArray, IntArray


def farthest_frames(
    candidates: FloatArray, known: FloatArray, numbers: IntArray, n_frames: int
) -> tuple[int, ...]:
    """Indices of at most `n_frames` candidates, in the order in which they are chosen.

    candidates: (m, n_atoms, d) environments; known: (n_atoms, d) of a frame that is there already;
    numbers: (n_atoms,) atomic numbers, the same in all. Fewer come back when the others hold
    nothing new.
    """
    distance = _distances(candidates, known, numbers)
    chosen: list[int] = []
    while len(chosen) < min(n_frames, len(candidates)):
        farthest = int(distance.max(axis=1).argmax())
        if not distance[farthest].max() > 0.0:
            break
        chosen.append(farthest)
        distance = np.minimum(distance, _distances(candidates, candidates[farthest], numbers))
    return tuple(chosen)


def _distances(candidates: FloatArray, known: FloatArray, numbers: IntArray) -> FloatArray:
    """(m, n_atoms) from each environment to the nearest of its element in one frame."""
    found = np.empty(candidates.shape[:2])
    for element in np.unique(numbers):
        atoms = numbers == element
        rows = candidates[:, atoms].reshape(-1, candidates.shape[2])
        nearest = cdist(rows, known[atoms]).min(axis=1)
        found[:, atoms] = nearest.reshape(len(candidates), -1)
    return found
