"""Putting molecules together from ready-made ones, and telling them apart by their bonds."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import natural_cutoffs, neighbor_list

__all__ = ["fingerprint", "join", "side_by_side"]

N_TORSIONS = 24
PAIR_DISTANCE = 2.2  # Å, nearest atoms of the two molecules of a pair before it is relaxed


def join(host: Atoms, at: str, guest: Atoms, guest_at: str) -> Atoms:
    """Replace a hydrogen on element `at` of `host` by `guest` less a hydrogen on `guest_at`."""
    anchor, out, trunk = _open_valence(host, at)
    guest_anchor, guest_out, branch = _open_valence(guest, guest_at)
    branch.translate(-guest_anchor)
    branch.rotate(guest_out, -out)
    bond = sum(covalent_radii[atomic_numbers[symbol]] for symbol in (at, guest_at))
    turned = [_turned(branch, angle, out) for angle in np.arange(N_TORSIONS) * 360 / N_TORSIONS]
    for candidate in turned:
        candidate.translate(anchor + bond * out)
    return trunk + min(turned, key=lambda candidate: _crowding(trunk, candidate))


def side_by_side(host: Atoms, guest: Atoms) -> Atoms:
    """Move `guest` along x from `host` until their nearest atoms are `PAIR_DISTANCE` apart."""
    guest = guest.copy()
    guest.translate(host.get_center_of_mass() - guest.get_center_of_mass())
    while _nearest(host, guest) < PAIR_DISTANCE:
        guest.translate((0.1, 0.0, 0.0))
    return host + guest


def fingerprint(atoms: Atoms) -> tuple[str, ...]:
    """Return the sorted bonding environments, such as `C:CHHO`, one per atom.

    Formula and first neighbours tell apart all isomers that occur here.
    """
    symbols = atoms.get_chemical_symbols()
    return tuple(
        sorted(
            f"{symbols[i]}:{''.join(sorted(symbols[j] for j in near))}"
            for i, near in enumerate(_bonded(atoms))
        )
    )


def _bonded(atoms: Atoms) -> list[list[int]]:
    """Return the indices bonded to each atom, in rising order, by covalent radii."""
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=1.15))
    return [sorted(second[first == i].tolist()) for i in range(len(atoms))]


def _open_valence(atoms: Atoms, at: str) -> tuple[np.ndarray, np.ndarray, Atoms]:
    """Return the anchor (3,), Å, the unit vector (3,) of its lost hydrogen, and what is left."""
    symbols = atoms.get_chemical_symbols()
    bonded = _bonded(atoms)
    anchor, hydrogen = next(
        (i, j)
        for i, near in enumerate(bonded)
        for j in near
        if symbols[i] == at and symbols[j] == "H"
    )
    out = atoms.positions[hydrogen] - atoms.positions[anchor]
    return atoms.positions[anchor].copy(), out / np.linalg.norm(out), _without(atoms, hydrogen)


def _without(atoms: Atoms, index: int) -> Atoms:
    return atoms[[i for i in range(len(atoms)) if i != index]]


def _turned(atoms: Atoms, angle: float, axis: np.ndarray) -> Atoms:
    turned = atoms.copy()
    turned.rotate(angle, axis)
    return turned


def _nearest(first: Atoms, second: Atoms) -> float:
    between = first.positions[:, None] - second.positions[None]
    return float(np.linalg.norm(between, axis=-1).min())


def _crowding(first: Atoms, second: Atoms) -> float:
    """Return the sum of inverse sixth powers of the distances between two parts, Å^-6."""
    between = first.positions[:, None] - second.positions[None]
    return float((np.linalg.norm(between, axis=-1) ** -6).sum())
