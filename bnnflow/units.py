"""The one home of units and sign conventions.

Inside bnnflow everything is in ASE's units: eV, Å, fs (times at our own borders), K, eV/Å,
eV/Å³. kcal/mol appears only where a user reads or writes a number, and then in the key's name.

Stress follows ASE: positive under tension, σ = (1/V) ∂E/∂ε, six components in Voigt order
xx, yy, zz, yz, xz, xy. A cell holds one lattice vector per row.
"""

from __future__ import annotations

import numpy as np
from ase import units as ase_units
from numpy.typing import NDArray

KCAL_PER_MOL: float = ase_units.kcal / ase_units.mol
"""1 kcal/mol in eV."""
HARTREE: float = ase_units.Hartree
"""1 Hartree in eV."""
BOHR: float = ase_units.Bohr
"""1 Bohr in Å."""
FS: float = ase_units.fs
"""1 fs in ASE's internal unit of time, Å √(u/eV)."""
BAR: float = ase_units.bar
"""1 bar in eV/Å³."""
GPA: float = ase_units.GPa
"""1 GPa in eV/Å³."""
KB: float = ase_units.kB
"""Boltzmann's constant in eV/K."""
CM2_PER_S: float = 0.1
"""1 Å²/fs, a diffusion coefficient, in cm²/s."""
WAVENUMBER: float = 1e10 / ase_units._c
"""1 THz, a frequency, in 1/cm."""

VOIGT: tuple[tuple[int, int], ...] = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Row and column of each of the six stress components."""

FORCE_STD_START: float = 0.1 * KCAL_PER_MOL
"""s0, the force std a zero head predicts: 0.1 kcal/mol/Å in eV/Å [R26, METHOD 1]."""
STRESS_STD: float = 0.1 / 16.0 * KCAL_PER_MOL
"""Fixed std of each stress component: 0.1/16 kcal/mol/Å³ in eV/Å³ [R26, METHOD 1]."""


def from_kcal_per_mol(value: float) -> float:
    """Convert an energy from kcal/mol to eV."""
    return value * KCAL_PER_MOL


def to_kcal_per_mol(value: float) -> float:
    """Convert an energy from eV to kcal/mol."""
    return value / KCAL_PER_MOL


def shifted_energy(energy: float, shift: float, *, float32: bool = False) -> float:
    """A reference energy on the model's scale, eV; float32: both rounded, and added, to 24 bits."""
    return float(np.float32(energy) + np.float32(shift)) if float32 else energy + shift


def voigt_from_tensor(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    """Six Voigt components (..., 6) of a symmetric tensor (..., 3, 3)."""
    rows, columns = zip(*VOIGT, strict=True)
    symmetric = 0.5 * (stress + np.swapaxes(stress, -1, -2))
    return np.asarray(symmetric[..., list(rows), list(columns)])


def tensor_from_voigt(stress: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric tensor (..., 3, 3) of six Voigt components (..., 6)."""
    tensor = np.empty((*stress.shape[:-1], 3, 3))
    for component, (row, column) in enumerate(VOIGT):
        tensor[..., row, column] = tensor[..., column, row] = stress[..., component]
    return tensor
