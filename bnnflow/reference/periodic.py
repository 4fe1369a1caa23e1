"""What the codes that calculate crystals have in common: k-points, smearing, spin, a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from bnnflow.errors import ConfigError, StructureError
from bnnflow.records import FloatArray, IntArray, Structure
from bnnflow.reference.base import Plain
from bnnflow.reference.checks import GEOMETRY_TOLERANCE, check_spin
from bnnflow.reference.meshes import GAMMA, Mesh, check_mesh, mesh_by_spacing

NO_SMEARING = "none"
BY_MULTIPLICITY, FREE = "multiplicity", "free"
_MARGIN_A = 5.0


@dataclass(frozen=True, kw_only=True)
class Periodic(Plain):
    """Settings of a code that calculates crystals, and molecules in a box, as an MPI program.

    k_points: three numbers of points, or k_spacing_per_A: longest step, 1/Å with 2π; k_mesh:
    "gamma" or "monkhorst-pack" (`meshes.Mesh`); a molecule is calculated at Gamma. box_A: side of
    the cube around a molecule. smearing: of the occupations, "none" fills the lowest states at
    every k-point; smearing_width_eV: kT for Fermi-Dirac, σ for Gaussian. spin: "multiplicity" fixes
    the moment to the structure's; "free" lets it follow from starting_magnetization, μB per atom of
    an element. threads: per rank.
    """

    k_points: Sequence[int] = ()
    k_spacing_per_A: float = 0.0
    k_mesh: str = GAMMA
    box_A: float = 0.0
    smearing: str = NO_SMEARING
    smearing_width_eV: float = 0.0
    spin: str = BY_MULTIPLICITY
    starting_magnetization: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1

    isolated: ClassVar[bool] = True
    has_stress: ClassVar[bool] = True
    parallel: ClassVar[bool] = True
    smearings: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_mesh(self.k_points, spacing_per_A=self.k_spacing_per_A, kind=self.k_mesh)
        known = (NO_SMEARING, *self.smearings)
        if self.smearing not in known:
            raise ConfigError(f"smearing is {self.smearing!r}, expected one of {', '.join(known)}")
        if (self.smearing == NO_SMEARING) != (self.smearing_width_eV == 0):
            raise ConfigError(
                f"smearing is {self.smearing} with a width of {self.smearing_width_eV:g} eV: give "
                "both smearing and smearing_width_eV, or neither"
            )
        if self.smearing_width_eV < 0 or self.box_A < 0 or self.threads < 1:
            raise ConfigError("smearing_width_eV and box_A must be > 0, threads at least 1")
        if self.spin not in (BY_MULTIPLICITY, FREE):
            raise ConfigError(f"spin is {self.spin!r}, expected {BY_MULTIPLICITY} or {FREE}")
        if (self.spin == FREE) != bool(self.starting_magnetization):
            raise ConfigError("spin: free and starting_magnetization belong together: give both")
        if self.spin == FREE and self.smearing == NO_SMEARING:
            raise ConfigError("spin: free needs smearing, without which the moment cannot change")

    @property
    def k_words(self) -> str:
        """The mesh as it was asked for."""
        if self.k_points:
            return str(Mesh(_triple(self.k_points), self.k_mesh))
        if self.k_spacing_per_A:
            return f"{self.k_spacing_per_A:g}/Å between k-points ({self.k_mesh})"
        return "Gamma point"

    @property
    def occupation_words(self) -> str:
        """Smearing and spin, "" when there is nothing to say."""
        width = f"{self.smearing} smearing {self.smearing_width_eV:g} eV"
        parts = [width] if self.smearing != NO_SMEARING else []
        parts += ["free moment"] if self.spin == FREE else []
        return "".join(f", {part}" for part in parts)

    def polarized(self, structure: Structure) -> bool:
        """Whether up and down electrons are treated apart."""
        return self.spin == FREE or structure.multiplicity != 1

    def mesh(self, structure: Structure) -> Mesh:
        """The k-points of this structure, one in each direction that is not periodic."""
        if not structure.pbc.any():
            return Mesh(kind=self.k_mesh)
        found = Mesh(_triple(self.k_points), self.k_mesh)
        if not self.k_points:
            cell, spacing = structure.cell, self.k_spacing_per_A
            found = mesh_by_spacing(cell, spacing_per_A=spacing, kind=self.k_mesh)
        size = [
            number if periodic else 1
            for number, periodic in zip(found.size, structure.pbc, strict=True)
        ]
        return Mesh(_triple(size), self.k_mesh)

    def cell(self, structure: Structure) -> FloatArray:
        """The cell of the calculation, (3, 3) Å: the structure's, or the box of a molecule."""
        return structure.cell if structure.pbc.any() else self.box_A * np.eye(3)

    def check_cell(self, structure: Structure) -> None:
        """Refuse a crystal without k-points or volume, and a molecule without room."""
        if not structure.pbc.any():
            return self._check_box(structure)
        if not (self.k_points or self.k_spacing_per_A):
            raise ConfigError("the structure is periodic: give k_points or k_spacing_per_A")
        if abs(np.linalg.det(structure.cell)) < 1e-3:
            raise StructureError(
                f"cell is {structure.cell.tolist()}, which has no volume: give three vectors, also "
                "along directions that are not periodic"
            )
        return None

    def _check_box(self, structure: Structure) -> None:
        if not self.box_A:
            raise StructureError(
                "the structure is not periodic, but this code calculates in a cell: give box_A, "
                "the side of a cube around the molecule, or a cell and pbc"
            )
        extent = float(np.ptp(structure.positions, axis=0).max())
        if self.box_A < extent + _MARGIN_A:
            raise StructureError(
                f"the molecule spans {extent:.2f} Å and box_A is {self.box_A:g} Å: expected at "
                f"least {extent + _MARGIN_A:.1f} Å"
            )

    def check_electrons(self, structure: Structure, *, n_electrons: int) -> None:
        """Refuse a multiplicity the electrons cannot have, or one that nothing would look at.

        n_electrons: of the neutral structure, with or without closed cores.
        """
        if self.spin == FREE and structure.multiplicity != 1:
            raise StructureError(
                f"the structure has multiplicity {structure.multiplicity}, but spin is free: use "
                "spin: multiplicity, or multiplicity 1"
            )
        # smeared and unpolarised, an odd electron fills up and down by halves, as in any metal
        halves = self.smearing != NO_SMEARING and not self.polarized(structure)
        if self.spin != FREE and not halves:
            check_spin(structure, n_electrons=n_electrons)

    def returned(
        self, sent: Structure, *, numbers: IntArray, positions: FloatArray, cell: FloatArray
    ) -> Structure:
        """The geometry a code reports, its box left out again if it is the one we put there."""
        same = bool(np.abs(cell - self.cell(sent)).max() <= GEOMETRY_TOLERANCE)
        return Structure(
            numbers=numbers,
            positions=positions,
            cell=sent.cell if same and not sent.pbc.any() else cell,
            pbc=sent.pbc if same else np.ones(3, dtype=bool),
            charge=sent.charge,
            multiplicity=sent.multiplicity,
        )


def _triple(numbers: Sequence[int]) -> tuple[int, int, int]:
    return (numbers[0], numbers[1], numbers[2]) if numbers else (1, 1, 1)
