"""What every kind of source gives: named structures, and those that cannot be used.

A name is safe as a folder's name on any file system; `with_unique_names` keeps names apart also
where upper and lower case are the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ase import Atoms

from bnnflow.errors import StructureError
from bnnflow.materials import refuse_fixed, repeated
from bnnflow.records import Structure
from bnnflow.sources.state import charge_of, multiplicity_of

LONGEST_NAME: int = 80
"""Characters of a name before the suffix that tells doubles apart."""


@dataclass(frozen=True, eq=False)
class NamedStructure:
    """A structure with a name for its files and folders. origin: where it came from, in words."""

    name: str
    structure: Structure
    origin: str


@dataclass(frozen=True)
class Unusable:
    """Something in a source that is no material. reason: one line that says why."""

    name: str
    origin: str
    reason: str


Found = NamedStructure | Unusable


@dataclass(frozen=True)
class Treatment:
    """What is said of every structure of a source.

    charge: e, multiplicity: 2S + 1, both of the whole (None: as the source says, else 0 and 1);
    repeat: how often along each cell vector.
    """

    charge: int | None = None
    multiplicity: int | None = None
    repeat: tuple[int, int, int] = (1, 1, 1)


def found(atoms: Atoms, name: str, origin: str, treatment: Treatment) -> Found:
    """Name what a source holds, or say why it cannot be used.

    The electronic state is the treatment's, else that of `atoms.info` (see `state`).
    """
    name = safe_name(name)
    try:
        return NamedStructure(name, _structure(atoms, origin, treatment), origin)
    except StructureError as error:
        return Unusable(name, origin, str(error))


def safe_name(text: str) -> str:
    """A name made of letters, digits and _ . + - that does not begin with a dot or a dash."""
    plain = "".join(c if c.isalnum() or c in "_.+-" else "-" for c in text)
    plain = re.sub("-{2,}", "-", plain)[:LONGEST_NAME].lstrip(".-").rstrip(".-")
    return plain or "material"


def with_unique_names(items: Sequence[Found]) -> tuple[Found, ...]:
    """The same with a suffix -2, -3, ... for a name that came before; the origin says so."""
    taken: set[str] = {item.name.casefold() for item in items}
    used: set[str] = set()
    renamed: list[Found] = []
    for item in items:
        name = _free(item.name, used, taken)
        used.add(name.casefold())
        renamed.append(item if name == item.name else _renamed(item, name))
    return tuple(renamed)


def _free(name: str, used: set[str], taken: set[str]) -> str:
    """`name`, else the first with a suffix that nothing has, nor is called from the start."""
    candidate, number = name, 1
    while candidate.casefold() in used or (number > 1 and candidate.casefold() in taken):
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _renamed(item: Found, name: str) -> Found:
    return replace(item, name=name, origin=f"{item.origin}; the name {item.name} was taken")


def _structure(atoms: Atoms, origin: str, treatment: Treatment) -> Structure:
    refuse_fixed(atoms, origin)
    _refuse_disorder(atoms)
    charge = charge_of(atoms.info, treatment.charge)
    multiplicity = multiplicity_of(atoms.info, treatment.multiplicity)
    if treatment.repeat != (1, 1, 1):
        _refuse_state_of_a_cell(charge, multiplicity, treatment)
        atoms = repeated(atoms, origin, treatment.repeat)
    return Structure.from_atoms(atoms, charge=charge, multiplicity=multiplicity)


def _refuse_state_of_a_cell(charge: int, multiplicity: int, treatment: Treatment) -> None:
    """A charge that the source gives is of its own cell, and says nothing of several."""
    for key, value, plain in (("charge", charge, 0), ("multiplicity", multiplicity, 1)):
        if getattr(treatment, key) is None and value != plain:
            raise StructureError(
                f"{key} {value} is of one cell, but repeat is {list(treatment.repeat)}: set {key} "
                "of the whole"
            )


def _refuse_disorder(atoms: Atoms) -> None:
    """ASE keeps one species of a mixed site and says so in `info` alone."""
    occupancy = atoms.info.get("occupancy") or {}
    sites = [site for site, shares in occupancy.items() if sum(shares.values()) < 1 - 1e-6]
    sites += [site for site, shares in occupancy.items() if len(shares) > 1 and site not in sites]
    if sites:
        raise StructureError(
            f"{len(sites)} of its sites are partly occupied or shared by elements, expected whole "
            "atoms: give an ordered structure"
        )
