"""Radial distribution function g(r) and the number of neighbours.

g(r) = <V n(r, r + dr)> / (N_A N_B (4/3) pi ((r + dr)^3 - r^3)), n the number of A-B pairs, images
included and an atom with itself left out; 1 in an ideal gas of many atoms (with A = B and N atoms
in the cell 1 - 1/N below the cell's size).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnflow.analysis.motion.periodic import neighbour_vectors
from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.errors import ConfigError, StructureError
from bnnflow.records import FloatArray

BINS = 200
"""Bins of r, unless told otherwise."""
REACH = 6.0
"""Largest r, Å, unless told otherwise."""
MINIMUM_BEFORE = 1.7
"""The first minimum is sought up to this many times the distance of the highest peak."""


@dataclass(frozen=True, eq=False)
class RadialDistribution:
    """edges: (b + 1,) Å of the bins; density: (b,) g(r), no unit; neighbours: (b,) mean number of B
    atoms round an A atom up to each bin's outer edge.
    """

    edges: FloatArray
    density: FloatArray
    neighbours: FloatArray

    @property
    def centres(self) -> FloatArray:
        """(b,) Å, middles of the bins."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def peak(self) -> tuple[float, float]:
        """Place (Å) and height of the highest peak; NaN when no pair was found."""
        if not self.density.any():
            return float("nan"), float("nan")
        top = int(self.density.argmax())
        return float(self.centres[top]), float(self.density[top])

    @property
    def first_shell(self) -> tuple[float, float]:
        """Place (Å) of the lowest g behind the highest peak, and the number of neighbours up to it.

        NaN when the peak is the last bin or there is none.
        """
        top, places = int(self.density.argmax()), self.centres
        behind = np.flatnonzero((places > places[top]) & (places < MINIMUM_BEFORE * places[top]))
        if not self.density.any() or not len(behind):
            return float("nan"), float("nan")
        lowest = int(behind[self.density[behind].argmin()])
        return float(places[lowest]), float(self.neighbours[lowest])


def radial_distribution(
    motion: Motion, first: str, second: str, *, reach: float = REACH, bins: int = BINS
) -> RadialDistribution:
    """g(r) of one element round another, averaged over all frames.

    reach: largest r, Å, which may be more than half the cell; bins: how many. The cell may change
    from frame to frame. Raises StructureError unless the cell is periodic in three directions.
    """
    if not motion.pbc.all():
        raise StructureError("g(r) needs a volume: expected a cell periodic in three directions")
    if reach <= 0.0 or bins < 1:
        raise ConfigError(f"reach {reach:g} Å, {bins} bins: expected more than 0 of both")
    atoms, others = motion.atoms_of(first), motion.atoms_of(second)
    edges = np.linspace(0.0, reach, bins + 1)
    volumes = np.abs(np.linalg.det(motion.lattice))
    pairs, weighted, frame = np.zeros(bins), np.zeros(bins), 0
    for vectors in neighbour_vectors(motion, atoms, others, reach):
        for lengths in np.linalg.norm(vectors, axis=3):
            counts = np.histogram(lengths, edges)[0]
            pairs += counts
            weighted += counts * volumes[frame]
            frame += 1
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    scale = len(motion) * len(atoms)
    density = weighted / (scale * len(others) * shells)
    return RadialDistribution(edges, density, np.cumsum(pairs) / scale)
