"""Pairs of atoms that are close to one another, in any cell and however far the others fly."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.spatial import cKDTree

from bnnflow.records import FloatArray, IntArray, Structure


def close_pairs(structure: Structure, cutoff: float) -> tuple[IntArray, FloatArray]:
    """Atoms (n, 2) and distances (n,), Å, of all pairs within the cutoff, images included.

    A pair across a boundary appears more than once.
    """
    points, owner = structure.positions, np.arange(len(structure))
    if structure.pbc.any():
        points, owner = _with_images(structure, cutoff)
    pairs = cKDTree(points).query_pairs(cutoff, output_type="ndarray")
    lengths = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    return owner[pairs], lengths


def _with_images(structure: Structure, cutoff: float) -> tuple[FloatArray, IntArray]:
    """The atoms in the cell, and those of their images that are within the cutoff of its faces;
    points (m, 3) Å, and the atom (m,) that each belongs to."""
    cell = _complete(structure)
    inverse = np.linalg.inv(cell)
    # A layer as thick as the cutoff, in units of the cell's heights.
    layer = cutoff * np.linalg.norm(inverse, axis=0)
    inside = structure.positions @ inverse
    inside = np.where(structure.pbc, inside - np.floor(inside), inside)
    reach = np.where(structure.pbc, np.ceil(layer), 0).astype(int)
    shifts = np.array(list(itertools.product(*(range(-most, most + 1) for most in reach))))
    places = inside[np.newaxis] + shifts[:, np.newaxis]
    near = ((places >= -layer) & (places <= 1.0 + layer)) | ~structure.pbc
    cells, owner = np.nonzero(near.all(axis=2))
    return places[cells, owner] @ cell, owner


def _complete(structure: Structure) -> FloatArray:
    """The cell with a unit vector across the others wherever it is not periodic."""
    kept = structure.cell[structure.pbc]
    across = np.linalg.svd(kept)[2][len(kept) :]
    cell = np.empty((3, 3))
    cell[structure.pbc], cell[~structure.pbc] = kept, across
    return cell
