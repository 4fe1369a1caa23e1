"""Crystals by name have the bond lengths that were published for them."""

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from bnnflow.crystals import CRYSTALS, calcium_zirconium_sulphide, lanthanum_manganite
from bnnflow.materials import check_material, load_structure
from bnnflow.md import start
from bnnflow.records import Dynamics


def lengths(atoms, one, other, cutoff):
    first, second, distances = neighbor_list("ijd", atoms, cutoff)
    symbols = np.array(atoms.get_chemical_symbols())
    return distances[(symbols[first] == one) & (symbols[second] == other)]


def test_lanthanum_manganite_has_three_mn_o_lengths():
    """1.907, 1.968 and 2.178 Å: Rodriguez-Carvajal et al., Phys. Rev. B 57, R3189 (1998)."""
    atoms = lanthanum_manganite()
    assert atoms.get_chemical_formula() == "La8Mn8O24"
    found = np.sort(lengths(atoms, "Mn", "O", 2.5)).reshape(3, 16)
    np.testing.assert_allclose(np.ptp(found, axis=1), 0.0, atol=2e-3)
    np.testing.assert_allclose(found.mean(axis=1), [1.907, 1.968, 2.178], atol=3e-3)
    volume_per_formula = 5.7473 * 7.6929 * 5.5367 / 4
    assert atoms.get_volume() == pytest.approx(8 * volume_per_formula)
    np.testing.assert_allclose(atoms.cell.lengths(), [7.980, 7.693, 7.980], atol=1e-3)


def test_lanthanum_manganite_can_move_under_npt():
    structure = load_structure("LaMnO3-2x2x2")
    dynamics = Dynamics(kind="npt", timestep_fs=0.5, temperature_schedule=((0.0, 300.0),))
    assert start(structure, dynamics=dynamics, seed=1).step == 0


def test_calcium_zirconium_sulphide_holds_two_protons():
    atoms = calcium_zirconium_sulphide()
    assert atoms.get_chemical_formula() == "H2Ca32S96Zr32"
    np.testing.assert_allclose(
        np.sort(atoms.cell.lengths()), [13.1458, 14.1362, 19.2836], atol=1e-3
    )
    octahedra = lengths(atoms, "Zr", "S", 3.0)
    assert len(octahedra) == 32 * 6
    np.testing.assert_allclose(octahedra, 2.56, atol=0.02)
    np.testing.assert_allclose(lengths(atoms, "H", "S", 1.8), 1.35)
    assert len(lengths(atoms, "H", "S", 1.8)) == 2
    assert not len(lengths(atoms, "H", "Zr", 2.0)) and not len(lengths(atoms, "H", "Ca", 2.0))
    assert atoms.get_distance(160, 161, mic=True) > 8.0


@pytest.mark.parametrize(("name", "charge"), [("LaMnO3-2x2x2", 0), ("CaZrS3-2H", 2)])
def test_crystals_are_found_by_name_and_pass_the_checks(name, charge):
    assert name in CRYSTALS
    structure = load_structure(name, charge=charge)
    assert structure.pbc.all()
    check_material(structure, cutoff=5.0)
