"""Structures by name or file, and the atoms that are refused."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.io import write

from bnnflow.errors import StructureError
from bnnflow.materials import (
    ALIASES,
    check_material,
    displaced,
    is_structure_name,
    load_structure,
)
from bnnflow.records import Structure

CHNO = (1, 6, 7, 8)


def structure(symbols, positions, *, cell=None, pbc=False, charge=0, multiplicity=1):
    atoms = Atoms(symbols, positions=positions, cell=cell, pbc=pbc)
    return Structure.from_atoms(atoms, charge=charge, multiplicity=multiplicity)


def refused(item, match, **limits):
    with pytest.raises(StructureError, match=match) as caught:
        check_material(item, **limits)
    assert "\n" not in str(caught.value)


def test_alias_and_ase_name_give_the_same_molecule():
    by_alias, by_name = load_structure("ethanol"), load_structure("CH3CH2OH")
    np.testing.assert_array_equal(by_alias.positions, by_name.positions)
    assert sorted(by_alias.numbers) == [1] * 6 + [6, 6, 8]


@pytest.mark.parametrize("alias", ALIASES)
def test_every_alias_is_a_molecule_that_passes(alias):
    check_material(load_structure(alias), elements=CHNO, cutoff=5.0)


@pytest.mark.parametrize("name", ["frame.xyz", "frame.extxyz", "frame.cif", "POSCAR"])
def test_files_give_back_the_crystal(tmp_path, name):
    atoms = molecule("H2O") if name == "frame.xyz" else bulk("Si", cubic=True)
    write(tmp_path / name, atoms)
    loaded = load_structure(str(tmp_path / name), charge=1, multiplicity=2)
    np.testing.assert_allclose(loaded.positions, atoms.positions, atol=1e-6)
    assert loaded.pbc.all() == atoms.pbc.all()
    assert (loaded.charge, loaded.multiplicity) == (1, 2)


def test_a_name_wins_over_a_file_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "H2O").write_text("not a structure")
    assert len(load_structure("H2O")) == 3
    with pytest.raises(StructureError, match="cannot be read"):
        load_structure("./H2O")
    assert not is_structure_name("./H2O")


@pytest.mark.parametrize(
    ("source", "match"),
    [("ethnol", "did you mean ethanol"), ("nowhere.xyz", "neither a file nor a molecule")],
)
def test_unknown_source_names_the_nearest(source, match):
    with pytest.raises(StructureError, match=match):
        load_structure(source)


@pytest.mark.parametrize(("name", "n_atoms"), [("bulk:Si", 8), ("bulk:Cu", 4), ("bulk:Mg", 2)])
def test_crystals_by_name(name, n_atoms):
    """The conventional cell of a cubic crystal, the primitive one of others."""
    structure = load_structure(name)
    assert len(structure) == n_atoms
    assert structure.pbc.all()
    atoms = bulk(name.removeprefix("bulk:"))
    volume = abs(np.linalg.det(structure.cell)) / n_atoms
    assert volume == pytest.approx(atoms.get_volume() / len(atoms))


@pytest.mark.parametrize("name", ["bulk:", "bulk:Xx", "bulk:He", "bulk:NaCl"])
def test_what_is_no_simple_crystal_is_refused(name):
    with pytest.raises(StructureError, match="is not a crystal that ASE knows"):
        load_structure(name)


def test_repeated_cells():
    one, many = load_structure("bulk:Si"), load_structure("bulk:Si", repeat=(2, 1, 3))
    assert len(many) == 6 * len(one)
    np.testing.assert_allclose(many.cell, one.cell * np.array([[2.0], [1.0], [3.0]]))


def test_a_molecule_is_not_repeated():
    with pytest.raises(StructureError, match="water is not periodic along vector 2"):
        load_structure("water", repeat=(1, 2, 1))


def test_several_frames_and_fixed_atoms_are_refused(tmp_path):
    water = molecule("H2O")
    write(tmp_path / "two.xyz", [water, water])
    with pytest.raises(StructureError, match="holds 2 frames"):
        load_structure(str(tmp_path / "two.xyz"))
    silicon = bulk("Si")
    silicon.set_constraint(FixAtoms([0]))
    write(tmp_path / "POSCAR", silicon, direct=True)
    with pytest.raises(StructureError, match="fixes some atoms"):
        load_structure(str(tmp_path / "POSCAR"))


def test_overlap_names_the_pair_at_half_the_covalent_radii():
    # covalent radii 0.66 (O) and 0.31 (H): limit 0.485 Å
    refused(structure("OH", [[0, 0, 0], [0, 0, 0.48]], charge=-1), r"atom \d \((O|H)\) and atom \d")
    check_material(structure("OH", [[0, 0, 0], [0, 0, 0.49]], charge=-1))


def test_overlap_is_seen_through_a_periodic_boundary():
    positions = [[0, 0, 0.05], [0, 0, 9.95]]
    check_material(structure("H2", positions))
    refused(structure("H2", positions, cell=[10, 10, 10], pbc=True), "0.10 Å apart and overlap")


def test_element_the_model_lacks_is_named():
    hydrogen_chloride = load_structure("HCl")
    refused(hydrogen_chloride, "the model lacks Cl, it knows H, C, N, O", elements=CHNO)
    check_material(hydrogen_chloride, elements=(1, 17))


@pytest.mark.parametrize(
    ("charge", "multiplicity", "fits"),
    [(0, 1, False), (0, 2, True), (0, 4, True), (0, 3, False), (1, 1, True), (-1, 3, True)],
)
def test_odd_electron_count_needs_an_even_multiplicity(charge, multiplicity, fits):
    radical = load_structure("CH3", charge=charge, multiplicity=multiplicity)  # 9 electrons
    if fits:
        check_material(radical)
    else:
        refused(radical, "electrons are an .* number and need")


@pytest.mark.parametrize(("charge", "multiplicity"), [(2, 1), (0, 5), (0, 0)])
def test_impossible_electron_counts(charge, multiplicity):
    item = structure("H2", [[0, 0, 0], [0, 0, 0.74]], charge=charge, multiplicity=multiplicity)
    refused(item, "cannot have multiplicity")


def test_no_atoms_and_positions_that_are_not_finite():
    refused(structure("", np.zeros((0, 3))), "no atoms")
    refused(structure("H2", [[0, 0, 0], [0, np.nan, 1]]), r"position of atom 1 \(H\) is not finite")


def test_periodic_without_a_cell():
    refused(structure("H2", [[0, 0, 0], [0, 0, 1]], pbc=True), "span no volume")


def test_an_atom_out_of_reach_suggests_a_wrong_unit():
    far = structure("H2", [[0, 0, 0], [0, 0, 7.4]])
    check_material(far, cutoff=8.0)
    refused(far, r"atom 0 \(H\) has no neighbour .* 5 Å", cutoff=5.0)


def test_displacements_have_the_std_asked_for_and_follow_the_seed():
    sites = load_structure("bulk:Si", repeat=(5, 5, 5))
    moves = displaced(sites, std=0.06, seed=1).positions - sites.positions
    assert np.std(moves) == pytest.approx(0.06, rel=0.05)
    assert abs(np.mean(moves)) < 0.005
    again, other = (displaced(sites, std=0.06, seed=seed).positions for seed in (1, 2))
    np.testing.assert_array_equal(again, sites.positions + moves)
    assert not np.allclose(again, other)


def test_no_displacement_leaves_the_structure_as_it_is():
    sites = load_structure("bulk:Si")
    assert displaced(sites, std=0.0, seed=1) is sites


def test_displacements_that_make_atoms_overlap_are_refused():
    with pytest.raises(StructureError, match="overlap"):
        displaced(load_structure("bulk:Si", repeat=(3, 3, 3)), std=2.0, seed=0)
