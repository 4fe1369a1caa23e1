"""A structure that has a name: a molecule, an element's crystal, a crystal of the papers."""

from __future__ import annotations

from bnnflow.errors import StructureError
from bnnflow.materials import is_structure_name, load_structure, unknown_name
from bnnflow.sources.found import NamedStructure, Treatment, safe_name


def from_name(name: str, treatment: Treatment) -> tuple[NamedStructure, ...]:
    """The structure that bnnflow or ASE knows by this name; raises StructureError."""
    if not is_structure_name(name):
        raise StructureError(f"{unknown_name(name)} (a file is given as file: PATH)")
    structure = load_structure(
        name,
        charge=treatment.charge or 0,
        multiplicity=1 if treatment.multiplicity is None else treatment.multiplicity,
        repeat=treatment.repeat,
    )
    return (NamedStructure(safe_name(name), structure, f"structure {name}"),)
