"""Which labels are of one composition.

A potential's energies are on a scale of its own, so labels of one composition share one energy
shift, whichever run they come from; those of another composition, or of another charge or spin,
which a potential does not see, have another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import chemical_symbols

from bnnflow.records import FloatArray, IntArray, Structure

Composition = tuple[tuple[tuple[int, int], ...], int, int]
"""Atomic numbers and how many of each, total charge, 2S + 1."""


def composition_of(structure: Structure) -> Composition:
    """What the shift of a structure's energy goes by."""
    numbers, counts = np.unique(structure.numbers, return_counts=True)
    pairs = tuple(zip(numbers.tolist(), counts.tolist(), strict=True))
    return pairs, structure.charge, structure.multiplicity


def formula(structure: Structure) -> str:
    """The composition in words, by rising atomic number, such as H6C2O."""
    pairs, charge, multiplicity = composition_of(structure)
    text = "".join(f"{chemical_symbols[z]}{count if count > 1 else ''}" for z, count in pairs)
    text += f"{charge:+d}" if charge else ""
    return text + (f", multiplicity {multiplicity}" if multiplicity != 1 else "")


def one_of_each(structures: Sequence[Structure]) -> list[Structure]:
    """The first structure of every composition, in the order given."""
    found: dict[Composition, Structure] = {}
    for structure in structures:
        found.setdefault(composition_of(structure), structure)
    return list(found.values())


def places(structures: Sequence[Structure]) -> IntArray:
    """(N,) which composition each structure is of, counted in the order of `one_of_each`."""
    order: dict[Composition, int] = {}
    return np.array([order.setdefault(composition_of(s), len(order)) for s in structures])


def joint_shifts(
    structures: Sequence[Structure], predicted: Sequence[float], reference: Sequence[float]
) -> FloatArray:
    """(N,) eV: what to add to each reference energy, one number for every composition.

    predicted: (N,) eV, of the foundation model; reference: (N,) eV, as the code gives them. The
    shift is the mean difference over all labels of the composition: the one under which the
    foundation model has the least squared error on them, whichever run they come from.
    """
    differences = np.asarray(predicted) - np.asarray(reference)
    where = places(structures)
    means = np.bincount(where, weights=differences) / np.bincount(where)
    return np.asarray(means[where])
