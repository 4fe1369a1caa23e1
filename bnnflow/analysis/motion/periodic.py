"""Distances in a periodic cell that may be skewed, small, and change from frame to frame.

Row vectors: r = s h with fractional s and one lattice vector per row of h. The height h_k of the
cell along k is the distance of its two faces; |s_k| <= |r| / h_k bounds which images can be near.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.records import FloatArray, IntArray

MOST_NUMBERS = 3_000_000
"""Vectors held at once: longer work is done in stretches of frames."""


def heights(cells: FloatArray) -> FloatArray:
    """(..., 3) Å, distances between opposite faces of cells (..., 3, 3)."""
    return np.asarray(1.0 / np.linalg.norm(np.linalg.inv(cells), axis=-2))


def fractional(vectors: FloatArray, cells: FloatArray) -> FloatArray:
    """Fractional coordinates of vectors (m, ..., 3) Å in cells (m, 3, 3)."""
    flat = vectors.reshape(len(cells), -1, 3) @ np.linalg.inv(cells)
    return np.asarray(flat.reshape(vectors.shape))


def cartesian(coordinates: FloatArray, cells: FloatArray) -> FloatArray:
    """Vectors in Å of fractional coordinates (m, ..., 3) in cells (m, 3, 3)."""
    return np.asarray((coordinates.reshape(len(cells), -1, 3) @ cells).reshape(coordinates.shape))


def wrapped(vectors: FloatArray, cells: FloatArray, pbc: NDArray[np.bool_]) -> FloatArray:
    """Vectors (m, ..., 3) Å with fractional coordinates in [-1/2, 1/2] where periodic.

    The shortest image in a cell of right angles, and in any cell when shorter than half its
    smallest height.
    """
    coordinates = fractional(vectors, cells)
    coordinates -= np.where(pbc, np.rint(coordinates), 0.0)
    return cartesian(coordinates, cells)


def minimum_image(vectors: FloatArray, cells: FloatArray, pbc: NDArray[np.bool_]) -> FloatArray:
    """Shortest periodic image of vectors (m, ..., 3) Å, exact in any cell.

    cells: (m, 3, 3) Å; pbc: (3,).
    """
    near = wrapped(vectors, cells, pbc)
    if _right_angled(cells):
        return near
    flat = near.reshape(len(cells), -1, 3)
    lengths = np.linalg.norm(flat, axis=2)
    frame, pair = np.nonzero(lengths > half_height(cells, pbc))
    if len(frame):
        flat[frame, pair] = _shortest(flat[frame, pair], cells, frame, pbc)
    return flat.reshape(vectors.shape)


def images(cells: FloatArray, pbc: NDArray[np.bool_], reach: float) -> IntArray:
    """(s, 3) lattice translations that find every image within `reach` Å of a wrapped vector."""
    lowest = heights(cells).min(axis=0)
    most = np.floor(np.where(pbc, reach, 0.0) / lowest + 0.5).astype(np.int64)
    return np.array(list(product(*(range(-count, count + 1) for count in most))), dtype=np.int64)


def half_height(cells: FloatArray, pbc: NDArray[np.bool_]) -> float:
    """Å, below which the wrapped image is the only near one; infinite when nothing is periodic."""
    return 0.5 * float(heights(cells)[:, pbc].min(initial=np.inf))


def neighbour_vectors(
    motion: Motion, first: IntArray, second: IntArray, reach: float
) -> Iterator[FloatArray]:
    """Vectors from each atom of `first` to every image of `second`, in stretches of frames.

    Yields (f, len(first), len(second) * s, 3) Å for f frames at a time, complete up to `reach` Å;
    longer ones are there too, but not all. An atom is no neighbour of itself, only of its images:
    that entry is infinite.
    """
    translations = images(motion.lattice, motion.pbc, reach)
    per_frame = 3 * len(first) * len(second) * len(translations)
    home = len(translations) // 2  # the translation by nothing
    itself = np.nonzero(first[:, None] == second[None, :])
    for rows in motion.stretches(MOST_NUMBERS // per_frame):
        cells = motion.lattice[rows]
        apart = motion.positions[rows][:, None, second] - motion.positions[rows][:, first, None]
        near = wrapped(apart, cells, motion.pbc)[:, :, :, None]
        vectors = near + (translations @ cells)[:, None, None]
        vectors[:, itself[0], itself[1], home] = np.inf
        yield vectors.reshape(len(cells), len(first), -1, 3)


def distances(motion: Motion, first: IntArray, second: IntArray) -> FloatArray:
    """(m, len(first), len(second)) Å, shortest distance of every pair in every frame."""
    found = np.empty((len(motion), len(first), len(second)))
    for rows in motion.stretches(MOST_NUMBERS // (3 * len(first) * len(second))):
        places = motion.positions[rows]
        apart = places[:, None, second] - places[:, first, None]
        nearest = minimum_image(apart, motion.lattice[rows], motion.pbc)
        found[rows] = np.linalg.norm(nearest, axis=3)
    return found


def continuous(motion: Motion) -> FloatArray:
    """(m, n, 3) fractional coordinates without jumps at the faces of the cell.

    From one frame to the next a fractional coordinate changes by less than 1/2.
    """
    coordinates = fractional(motion.positions, motion.lattice)
    steps = np.diff(coordinates, axis=0)
    crossings = np.where(motion.pbc, np.rint(steps), 0.0)
    coordinates[1:] -= np.cumsum(crossings, axis=0)
    return coordinates


def displacements(motion: Motion) -> FloatArray:
    """(m, n, 3) Å, how far each atom has moved in the cell since the first frame.

    Sum of (s_t - s_t-1) (h_t + h_t-1) / 2 over the frames: in a fixed cell the plain displacement;
    in a changing one the integral of the peculiar velocity s' h of NPT, free of the scaling of all
    positions with the cell.
    """
    steps = np.diff(continuous(motion), axis=0)
    cells = 0.5 * (motion.lattice[1:] + motion.lattice[:-1])
    moved = np.zeros(motion.positions.shape)
    np.cumsum(cartesian(steps, cells), axis=0, out=moved[1:])
    return moved


def _right_angled(cells: FloatArray) -> bool:
    """Whether all cell vectors are orthogonal, to rounding."""
    gram = cells @ np.swapaxes(cells, 1, 2)
    size = np.einsum("mii->m", gram)
    gram[:, [0, 1, 2], [0, 1, 2]] = 0.0
    return bool(np.all(np.abs(gram).max(axis=(1, 2)) <= 1e-12 * size))


def _shortest(
    vectors: FloatArray, cells: FloatArray, frame: IntArray, pbc: NDArray[np.bool_]
) -> FloatArray:
    """The shortest image of each vector (p, 3); frame: (p,) row of `cells` it belongs to."""
    best, length = vectors.copy(), np.linalg.norm(vectors, axis=1)
    for translation in images(cells, pbc, float(length.max())):
        candidate = vectors + (translation @ cells)[frame]
        shorter = np.linalg.norm(candidate, axis=1)
        better = shorter < length * (1.0 - 1e-12)
        best[better], length[better] = candidate[better], shorter[better]
    return best
