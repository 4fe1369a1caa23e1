"""The keys of the force criterion, and the regions that they make of a structure's atoms."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_numbers
from pydantic import Field, NonNegativeInt, model_validator

from bnnflow.config.base import Section
from bnnflow.errors import ConfigError
from bnnflow.records import ForceRegion, Structure
from bnnflow.units import from_kcal_per_mol

ALL, REST = "all", "rest"
"""Name of the region of the atoms that stand in no named one, without and with such ones."""


class ForceRegionConfig(Section):
    """Atoms, by index or by element, whose force errors share a limit and a calibration."""

    atoms: tuple[NonNegativeInt, ...] | None = Field(
        default=None, description="indices in the structure, from 0"
    )
    elements: tuple[str, ...] | None = Field(default=None, description="symbols, [H, O]")
    kcal_per_mol_A: float = Field(
        gt=0, description="limit on the length of each atom's force error, kcal/mol/Å"
    )

    @model_validator(mode="after")
    def _one_choice(self) -> ForceRegionConfig:
        if bool(self.atoms) == bool(self.elements):
            found = "both" if self.atoms else "neither"
            raise ValueError(f"has {found} of atoms and elements, expected exactly one: set one")
        for symbol in self.elements or ():
            if atomic_numbers.get(symbol, 0) == 0:
                raise ValueError(f"has the element {symbol!r}, expected a symbol such as O")
        return self

    def indices(self, structure: Structure) -> set[int]:
        """The atoms meant, of this structure; those that it has not are left in."""
        if self.atoms is not None:
            return set(self.atoms)
        numbers = [atomic_numbers[symbol] for symbol in self.elements or ()]
        return set(np.flatnonzero(np.isin(structure.numbers, numbers)).tolist())


def force_regions(
    named: Mapping[str, ForceRegionConfig], rest_kcal_per_mol_A: float | None, structure: Structure
) -> tuple[ForceRegion, ...]:
    """The regions of a structure, named ones first, then the rest of its atoms, if limited.

    Raises ConfigError for an empty region, an atom that is not there, or one in two regions.
    """
    regions, taken = [], set[int]()
    for name, section in named.items():
        atoms = section.indices(structure)
        _check(name, atoms, taken, len(structure))
        taken |= atoms
        limit = from_kcal_per_mol(section.kcal_per_mol_A)
        regions.append(ForceRegion(name, tuple(sorted(atoms)), limit))
    rest = tuple(sorted(set(range(len(structure))) - taken))
    if rest_kcal_per_mol_A is not None and rest:
        name = REST if named else ALL
        regions.append(ForceRegion(name, rest, from_kcal_per_mol(rest_kcal_per_mol_A)))
    return tuple(regions)


def _check(name: str, atoms: set[int], taken: set[int], n_atoms: int) -> None:
    key = f"threshold.force_regions.{name}"
    if not atoms:
        raise ConfigError(
            f"{key} holds no atom of the structure: name other elements, or remove it"
        )
    if max(atoms) >= n_atoms:
        raise ConfigError(
            f"{key} has atom {max(atoms)}, but the structure has {n_atoms}, counted from 0: "
            "correct the index"
        )
    if atoms & taken:
        raise ConfigError(
            f"{key} has atom {min(atoms & taken)}, which another region has too, expected each "
            "atom once: remove it from one"
        )
