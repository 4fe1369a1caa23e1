"""What an atom sees of its neighbours, as numbers that no rotation, shift or swap of like atoms
changes.

For each element, the radial symmetry functions of Behler (J. Chem. Phys. 134, 074106 (2011)):

    G_s = sum_j exp(-(r_ij - r_s)^2 / (2 w^2)) f_c(r_ij),   f_c(r) = (cos(pi r / r_c) + 1)/2

i: the atom; j: its neighbours of that element within r_c = CUTOFF, images included;
r_s: centres of SHELLS shells; w: half their distance.

Angles are in them through the neighbours, whose own shells hold the distances between them. They
do not depend on the foundation model, so the same frames are chosen whatever it is.
"""

from __future__ import annotations

import numpy as np
from ase.neighborlist import neighbor_list

from bnnflow.records import FloatArray, Structure

CUTOFF = 5.0
"""Å."""
NEAREST = 0.6
"""Å, centre of the first shell: no bond is shorter."""
SHELLS = 20


def environments(structure: Structure) -> FloatArray:
    """(n_atoms, n_elements * SHELLS) without unit: those of the first element, in order of their
    atomic numbers, come first."""
    first, second, lengths = neighbor_list("ijd", structure.to_atoms(), CUTOFF)
    elements = np.unique(structure.numbers)
    of_element = np.searchsorted(elements, structure.numbers)
    found = np.zeros((len(structure), len(elements), SHELLS))
    np.add.at(found, (first, of_element[second]), _shells(lengths))
    return found.reshape(len(structure), -1)


def _shells(lengths: FloatArray) -> FloatArray:
    """(n,) distances, Å, to (n, SHELLS)."""
    centres, gap = np.linspace(NEAREST, CUTOFF, SHELLS, retstep=True)
    away = (lengths[:, np.newaxis] - centres) / (gap / 2)
    fade = 0.5 * (np.cos(np.pi * lengths / CUTOFF) + 1.0)
    return np.asarray(np.exp(-0.5 * away**2) * fade[:, np.newaxis])
