"""The molecules the shipped model is trained on: closed shell, sound, and none of them ethanol."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from bnnflow.training.assembly import fingerprint
from bnnflow.training.frames import relaxed
from bnnflow.training.molecules import (
    ETHANOL,
    HELD_OUT,
    TRAINING,
    Joined,
    Recipe,
    Single,
    is_ethanol,
)

EVERY: tuple[Recipe, ...] = (*TRAINING, *HELD_OUT, ETHANOL)
ASSEMBLED = [recipe for recipe in EVERY if not isinstance(recipe, Single)]


def nearest(atoms: Atoms) -> float:
    distances = atoms.get_all_distances()
    return float(distances[np.triu_indices(len(atoms), 1)].min())


def named(recipe: Recipe) -> str:
    return recipe.name


def test_ethanol_is_trained_on_nowhere() -> None:
    assert is_ethanol(ETHANOL.build())
    assert not [recipe.name for recipe in (*TRAINING, *HELD_OUT) if is_ethanol(recipe.build())]


def test_ethanol_is_told_by_bonds_not_by_formula() -> None:
    ether = molecule("CH3OCH3")
    assert ether.get_chemical_formula() == ETHANOL.build().get_chemical_formula()
    assert not is_ethanol(ether)


def test_ethanol_joined_from_ethane_and_water_is_recognized() -> None:
    assert is_ethanol(Joined("by another way", "C2H6", "C", "H2O", "O").build())


def test_held_out_molecules_are_not_trained_on() -> None:
    trained = {fingerprint(recipe.build()) for recipe in TRAINING}
    assert not [recipe.name for recipe in HELD_OUT if fingerprint(recipe.build()) in trained]


def test_no_molecule_is_listed_twice() -> None:
    assert len({recipe.name for recipe in EVERY}) == len(EVERY)
    assert len({fingerprint(recipe.build()) for recipe in EVERY}) == len(EVERY)


@pytest.mark.parametrize("recipe", EVERY, ids=named)
def test_closed_shell_chno_of_2_to_14_atoms_without_overlap(recipe: Recipe) -> None:
    atoms = recipe.build()
    assert set(atoms.get_chemical_symbols()) <= {"C", "H", "N", "O"}
    assert atoms.numbers.sum() % 2 == 0
    assert 2 <= len(atoms) <= 14
    assert nearest(atoms) > 0.7


@pytest.mark.parametrize("recipe", ASSEMBLED[::3], ids=named)
def test_relaxation_keeps_the_molecule(recipe: Recipe) -> None:
    pytest.importorskip("tblite")
    start = recipe.build()
    end = relaxed(start, fmax=0.1)
    assert nearest(end) > 0.9
    assert fingerprint(end) == fingerprint(start)


def test_joining_gives_up_two_hydrogens_and_makes_a_bond() -> None:
    joined = Joined("methanol", "CH4", "C", "H2O", "O").build()
    assert fingerprint(joined) == fingerprint(molecule("CH3OH"))
    carbon, oxygen = (joined.get_chemical_symbols().index(symbol) for symbol in "CO")
    assert joined.get_distance(carbon, oxygen) == pytest.approx(0.76 + 0.66, abs=1e-6)
