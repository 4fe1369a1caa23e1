"""Angular distribution function: angles A-B-C at B between neighbours closer than a cutoff."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnflow.analysis.motion.periodic import neighbour_vectors
from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.errors import ConfigError
from bnnflow.records import FloatArray, IntArray

BINS = 90
"""Bins over 0 to 180 degrees, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class AngularDistribution:
    """edges: (b + 1,) degrees of the bins; density: (b,) share of the angles per degree;
    relative: (b,) density over that of directions at random, sin(angle) / 2; count: angles found.
    """

    edges: FloatArray
    density: FloatArray
    relative: FloatArray
    count: int

    @property
    def centres(self) -> FloatArray:
        """(b,) degrees, middles of the bins."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])


def angular_distribution(
    motion: Motion, triple: tuple[str, str, str], *, cutoff: float, bins: int = BINS
) -> AngularDistribution:
    """Distribution of the angle A-B-C over all frames.

    triple: elements A, B, C, the vertex B in the middle; cutoff: Å, longest A-B and B-C distance;
    bins: how many. Each angle counts once, also with A = C. All values are NaN when no two
    neighbours are that close. Raises ConfigError for a cutoff or bins of nothing.
    """
    if cutoff <= 0.0 or bins < 1:
        raise ConfigError(f"cutoff {cutoff:g} Å, {bins} bins: expected more than 0 of both")
    ends = [motion.atoms_of(triple[0]), motion.atoms_of(triple[2])]
    vertices, others = motion.atoms_of(triple[1]), np.union1d(*ends)
    edges = np.linspace(0.0, 180.0, bins + 1)
    counts = np.zeros(bins, dtype=np.int64)
    for vectors in neighbour_vectors(motion, vertices, others, cutoff):
        sides = [np.isin(others, end).repeat(vectors.shape[2] // len(others)) for end in ends]
        wanted = sides[0] | sides[1]
        for around in vectors.reshape(-1, *vectors.shape[2:]):
            near = np.flatnonzero(wanted & (np.linalg.norm(around, axis=1) <= cutoff))
            angles = _angles(around[near], sides[0][near], sides[1][near])
            counts += np.histogram(angles, edges)[0]
    return _normalised(edges, counts)


def _angles(vectors: FloatArray, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> FloatArray:
    """Angles in degrees between vectors (p, 3), for pairs with one in each set, each pair once."""
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = np.triu(np.outer(first, second) | np.outer(second, first), k=1)
    return np.asarray(np.degrees(np.arccos(np.clip((units @ units.T)[pairs], -1.0, 1.0))))


def _normalised(edges: FloatArray, counts: IntArray) -> AngularDistribution:
    total = int(counts.sum())
    if not total:
        nothing = np.full(len(counts), np.nan)
        return AngularDistribution(edges, nothing, nothing, 0)
    random = -0.5 * np.diff(np.cos(np.radians(edges)))
    return AngularDistribution(
        edges, counts / (total * np.diff(edges)), counts / (total * random), total
    )
