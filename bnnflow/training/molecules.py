"""The small closed-shell C, H, N, O molecules that the shipped foundation model is trained on.

A molecule is one of ASE's G2 set, or two of them joined (each gives up one hydrogen and the freed
valences become a bond), or two of them side by side. Ethanol is in none of the lists: it is a test.
"""

from __future__ import annotations

from dataclasses import dataclass

from ase import Atoms
from ase.build import molecule

from bnnflow.training.assembly import fingerprint, join, side_by_side

__all__ = [
    "ETHANOL",
    "HELD_OUT",
    "TRAINING",
    "Joined",
    "Pair",
    "Recipe",
    "Single",
    "is_ethanol",
]


@dataclass(frozen=True)
class Single:
    """A molecule of the G2 set."""

    name: str
    parent: str

    def build(self) -> Atoms:
        """Return the molecule as tabulated, unrelaxed."""
        return molecule(self.parent)


@dataclass(frozen=True)
class Joined:
    """Two molecules joined by a bond between `at` of `parent` and `guest_at` of `guest`."""

    name: str
    parent: str
    at: str
    guest: str
    guest_at: str

    def build(self) -> Atoms:
        """Return the joined molecule with its least crowded torsion angle, unrelaxed."""
        return join(molecule(self.parent), self.at, molecule(self.guest), self.guest_at)


@dataclass(frozen=True)
class Pair:
    """Two separate molecules next to each other, so that contacts between molecules are seen."""

    name: str
    parent: str
    guest: str

    def build(self) -> Atoms:
        """Return the pair with its nearest atoms 2.2 Å apart, unrelaxed."""
        return side_by_side(molecule(self.parent), molecule(self.guest))


Recipe = Single | Joined | Pair


def is_ethanol(atoms: Atoms) -> bool:
    """Say whether the atoms are bonded as one ethanol molecule."""
    return fingerprint(atoms) == fingerprint(ETHANOL.build())


ETHANOL = Single("ethanol", "CH3CH2OH")

HELD_OUT: tuple[Recipe, ...] = (
    Single("ethylamine", "CH3CH2NH2"),
    Single("acetone", "CH3COCH3"),
    Joined("methoxymethanol", "CH3OH", "C", "CH3OH", "O"),
    Joined("propionitrile", "C2H6", "C", "HCN", "C"),
    Joined("n-methylformamide", "H2CO", "C", "H3CNH2", "N"),
)

TRAINING: tuple[Recipe, ...] = (
    Single("water", "H2O"),
    Single("ammonia", "NH3"),
    Single("methane", "CH4"),
    Single("ethane", "C2H6"),
    Single("propane", "C3H8"),
    Single("butane", "trans-butane"),
    Single("ethylene", "C2H4"),
    Single("propene", "C3H6_Cs"),
    Single("acetylene", "C2H2"),
    Single("propyne", "C3H4_C3v"),
    Single("cyclopropane", "C3H6_D3h"),
    Single("benzene", "C6H6"),
    Single("methanol", "CH3OH"),
    Single("2-propanol", "C2H6CHOH"),
    Single("dimethyl ether", "CH3OCH3"),
    Single("ethyl methyl ether", "CH3CH2OCH3"),
    Single("oxirane", "CH2OCH2"),
    Single("furan", "C4H4O"),
    Single("formaldehyde", "H2CO"),
    Single("acetaldehyde", "CH3CHO"),
    Single("glyoxal", "OCHCHO"),
    Single("formic acid", "HCOOH"),
    Single("acetic acid", "CH3COOH"),
    Single("methyl formate", "HCOOCH3"),
    Single("acetamide", "CH3CONH2"),
    Single("methylamine", "H3CNH2"),
    Single("dimethylamine", "C2H6NH"),
    Single("aziridine", "CH2NHCH2"),
    Single("pyrrole", "C4H4NH"),
    Single("acetonitrile", "CH3CN"),
    Single("hydrazine", "N2H4"),
    Single("hydrogen cyanide", "HCN"),
    Joined("1-propanol", "C2H6", "C", "CH3OH", "C"),
    Joined("ethylene glycol", "CH3OH", "C", "CH3OH", "C"),
    Joined("ethanolamine", "CH3OH", "C", "H3CNH2", "C"),
    Joined("allyl alcohol", "C2H4", "C", "CH3OH", "C"),
    Joined("cyclopropanol", "C3H6_D3h", "C", "H2O", "O"),
    Joined("glycolaldehyde", "H2CO", "C", "CH3OH", "C"),
    Joined("glycolonitrile", "HCN", "C", "CH3OH", "C"),
    Joined("methyl vinyl ether", "C2H4", "C", "CH3OH", "O"),
    Joined("propanal", "C2H6", "C", "H2CO", "C"),
    Joined("formamide", "H2CO", "C", "NH3", "N"),
    Joined("methylhydrazine", "CH4", "C", "N2H4", "N"),
    Joined("methylhydroxylamine", "H3CNH2", "N", "H2O", "O"),
    Pair("water dimer", "H2O", "H2O"),
    Pair("water and methanol", "H2O", "CH3OH"),
    Pair("methanol dimer", "CH3OH", "CH3OH"),
    Pair("water and ammonia", "H2O", "NH3"),
    Pair("methanol and methane", "CH3OH", "CH4"),
)

ALCOHOLS = frozenset(
    {"methanol", "1-propanol", "2-propanol", "ethylene glycol", "ethanolamine", "allyl alcohol"}
)
