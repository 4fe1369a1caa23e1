"""Checks shared by the reference codes: electrons before, geometry and numbers after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnnflow.errors import StructureError
from bnnflow.records import Failure, FailureCause, Label, Structure

GEOMETRY_TOLERANCE = 1e-6
"""Å; the largest difference between a geometry sent and the same geometry come back."""


def check_spin(structure: Structure, *, n_electrons: int) -> None:
    """Refuse a multiplicity that the number of electrons cannot have.

    n_electrons: of the neutral structure. Raises StructureError.
    """
    electrons = n_electrons - structure.charge
    unpaired = structure.multiplicity - 1
    if electrons < 1 or unpaired < 0 or unpaired > electrons:
        raise StructureError(
            f"{electrons} electrons (charge {structure.charge}) cannot have multiplicity "
            f"{structure.multiplicity}: correct charge or multiplicity"
        )
    if (electrons - unpaired) % 2:
        kind = "odd" if electrons % 2 else "even"
        raise StructureError(
            f"{electrons} electrons (charge {structure.charge}) is an {kind} number, which cannot "
            f"have multiplicity {structure.multiplicity}: correct charge or multiplicity"
        )


def failed(cause: FailureCause, message: str, *, traceback: str = "") -> Failure:
    """A label that failed; where and when is filled in by whoever keeps it."""
    return Failure(task="label", cause=cause, message=message, traceback=traceback)


def geometry_difference(sent: Structure, back: Structure) -> str:
    """What differs between two structures beyond rounding, "" when nothing does."""
    if not np.array_equal(sent.numbers, back.numbers):
        return "the atoms, or their order, are others"
    if not np.array_equal(sent.pbc, back.pbc):
        return "the periodic directions are others"
    moved = float(np.max(np.abs(sent.positions - back.positions), initial=0.0))
    if not moved <= GEOMETRY_TOLERANCE:
        return f"an atom is {moved:.3g} Å from where it was sent"
    strained = float(np.max(np.abs(sent.cell - back.cell))) if sent.pbc.any() else 0.0
    return "" if strained <= GEOMETRY_TOLERANCE else f"a cell vector differs by {strained:.3g} Å"


def same_structure(one: Structure, other: Structure) -> bool:
    """Whether two structures ask for the same calculation."""
    state = (one.charge, one.multiplicity) == (other.charge, other.multiplicity)
    return state and not geometry_difference(one, other)


def verify(structure: Structure, label: Label) -> Label | Failure:
    """Accept a parsed label only for the geometry that was sent, and only with finite numbers.

    The label returned carries the structure exactly as sent.
    """
    difference = geometry_difference(structure, label.structure)
    if difference:
        message = f"the geometry that came back is not the one that was sent: {difference}"
        return failed(FailureCause.WRONG_GEOMETRY, message)
    if label.forces.shape != structure.positions.shape:
        message = f"forces have shape {label.forces.shape}, expected {structure.positions.shape}"
        return failed(FailureCause.CRASHED, message)
    if not _finite(label):
        return failed(FailureCause.NON_FINITE, "energy, forces or stress are not finite numbers")
    return replace(label, structure=structure)


def _finite(label: Label) -> bool:
    stress = 0.0 if label.stress is None else label.stress
    return all(bool(np.isfinite(part).all()) for part in (label.energy, label.forces, stress))
