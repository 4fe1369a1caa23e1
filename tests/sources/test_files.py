"""Named structures from files, folders, databases and names; names that are safe and unique."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.constraints import FixAtoms
from ase.db import connect
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st

from bnnflow.errors import StructureError
from bnnflow.records import Structure
from bnnflow.sources import (
    NamedStructure,
    Treatment,
    Unusable,
    extxyz_text,
    from_ase_database,
    from_file,
    from_folder,
    from_name,
    safe_name,
    with_unique_names,
)

AS_GIVEN = Treatment()


def names(items):
    return [item.name for item in items]


def frames(path: Path, *infos: dict) -> Path:
    """A file of water once for each info."""
    images = [molecule("H2O") for _ in infos]
    for atoms, info in zip(images, infos, strict=True):
        atoms.info = info
    write(path, images, format="extxyz")
    return path


def test_frames_of_a_file_are_numbered_or_go_by_their_names(tmp_path):
    path = frames(tmp_path / "water.extxyz", {}, {"name": "a b/c"}, {}, {})
    found = from_file(path, AS_GIVEN)
    assert names(found) == ["water-0", "a-b-c", "water-2", "water-3"]
    assert found[2].origin == f"frame 2 of {path}"
    assert names(from_file(path, AS_GIVEN, frames="::3")) == ["water-0", "water-3"]
    assert names(from_file(path, AS_GIVEN, frames="-1")) == ["water-3"]
    assert names(from_file(frames(tmp_path / "one.xyz", {}), AS_GIVEN)) == ["one"]


@pytest.mark.parametrize(("chosen", "word"), [("9", "takes none"), ("4:", "none"), ("x", "slice")])
def test_frames_that_are_not_there(tmp_path, chosen, word):
    path = frames(tmp_path / "water.extxyz", {}, {})
    with pytest.raises(StructureError, match=word):
        from_file(path, AS_GIVEN, frames=chosen)


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, (0, 1)),
        ({"charge": -1, "multiplicity": 2}, (-1, 2)),
        ({"total_charge": 1.0, "spin_multiplicity": 4, "spin": 9}, (1, 4)),
    ],
)
def test_charge_and_spin_come_from_the_info(tmp_path, info, expected):
    (found,) = from_file(frames(tmp_path / "w.extxyz", info), AS_GIVEN)
    assert (found.structure.charge, found.structure.multiplicity) == expected
    (told,) = from_file(tmp_path / "w.extxyz", Treatment(charge=2, multiplicity=3))
    assert (told.structure.charge, told.structure.multiplicity) == (2, 3)


@pytest.mark.parametrize(
    ("info", "word"),
    [
        ({"charge": 0.5}, "charge=0.5, expected a whole number"),
        ({"charge": 1, "total_charge": 2}, "charge=1 and total_charge=2"),
        ({"spin": 1}, "can mean 2S+1, 2S or S"),
    ],
)
def test_an_unclear_state_is_unusable(tmp_path, info, word):
    (found,) = from_file(frames(tmp_path / "w.extxyz", info), AS_GIVEN)
    assert isinstance(found, Unusable) and word in found.reason


def test_atoms_that_are_held_or_shared_are_unusable(tmp_path):
    held = molecule("H2O")
    held.set_constraint(FixAtoms([0]))
    write(tmp_path / "held.extxyz", held)
    (found,) = from_file(tmp_path / "held.extxyz", AS_GIVEN)
    assert isinstance(found, Unusable) and "fixes some atoms" in found.reason
    mixed = Atoms("Au", cell=[4, 4, 4], pbc=True)
    mixed.info["occupancy"] = {"0": {"Au": 0.5, "Cu": 0.5}}
    mixed.arrays["spacegroup_kinds"] = np.array([0])
    write(tmp_path / "mixed.cif", mixed)
    (found,) = from_file(tmp_path / "mixed.cif", AS_GIVEN)
    assert isinstance(found, Unusable) and "partly occupied" in found.reason


def test_a_repeated_cell_needs_a_charge_of_the_whole(tmp_path):
    cell = bulk("NaCl", "rocksalt", a=5.6)
    cell.info["charge"] = 1
    write(tmp_path / "salt.extxyz", cell)
    (found,) = from_file(tmp_path / "salt.extxyz", Treatment(repeat=(2, 1, 1)))
    assert isinstance(found, Unusable) and "set charge of the whole" in found.reason
    (found,) = from_file(tmp_path / "salt.extxyz", Treatment(charge=0, repeat=(2, 1, 1)))
    assert len(found.structure) == 4


def test_a_folder_gives_its_files_by_name_and_names_those_it_cannot_read(tmp_path):
    write(tmp_path / "b.cif", bulk("NaCl", "rocksalt", a=5.6))
    write(tmp_path / "a.xyz", molecule("CH4"))
    write(tmp_path / "POSCAR.TiO2", bulk("Si"), format="vasp")
    (tmp_path / "c.xyz").write_text("no structure\n")
    (tmp_path / "notes.txt").write_text("not looked at\n")
    found = from_folder(tmp_path, AS_GIVEN)
    assert names(found) == ["TiO2", "a", "b", "c"]
    assert [type(item) for item in found] == [NamedStructure] * 3 + [Unusable]
    assert names(from_folder(tmp_path, AS_GIVEN, pattern="*.cif")) == ["b"]
    with pytest.raises(StructureError, match="holds no files"):
        from_folder(tmp_path, AS_GIVEN, pattern="*.gen")
    with pytest.raises(StructureError, match="not a folder"):
        from_folder(tmp_path / "nowhere", AS_GIVEN)


def test_a_poscar_goes_by_its_folder(tmp_path):
    (tmp_path / "rutile").mkdir()
    write(tmp_path / "rutile" / "POSCAR", bulk("Si"), format="vasp")
    assert names(from_folder(tmp_path, AS_GIVEN, pattern="*/POSCAR")) == ["rutile"]


def test_rows_of_a_database_are_selected(tmp_path):
    path = tmp_path / "small.db"
    with connect(path) as database:
        database.write(molecule("H2O"), name="water")
        database.write(molecule("OH"), multiplicity=2)
        database.write(molecule("CH4"))
    found = from_ase_database(path, AS_GIVEN)
    assert names(found) == ["water", "HO-2", "CH4-3"]
    assert found[1].structure.multiplicity == 2
    assert np.array_equal(found[0].structure.positions, molecule("H2O").positions)
    assert names(from_ase_database(path, AS_GIVEN, select="natoms<4")) == ["water", "HO-2"]
    assert names(from_ase_database(path, AS_GIVEN, limit=1)) == ["water"]
    for select, word in (("natoms>99", "no row"), ("natoms==", "cannot be read")):
        with pytest.raises(StructureError, match=word):
            from_ase_database(path, AS_GIVEN, select=select)
    (tmp_path / "no.db").write_text("no database")
    with pytest.raises(StructureError, match="cannot be read"):
        from_ase_database(tmp_path / "no.db", AS_GIVEN)


def test_a_name_is_a_structure_and_a_path_is_not(tmp_path):
    (found,) = from_name("bulk:Si", Treatment(repeat=(2, 2, 2)))
    assert found.name == "bulk-Si" and len(found.structure) == 64
    frames(tmp_path / "w.xyz", {})
    with pytest.raises(StructureError, match=r"file: PATH"):
        from_name(str(tmp_path / "w.xyz"), AS_GIVEN)
    with pytest.raises(StructureError, match="did you mean ethanol"):
        from_name("ethanl", AS_GIVEN)


@given(
    values=st.lists(
        st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=15, max_size=15
    ),
    pbc=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_extxyz_reads_back_equal_to_the_bit(tmp_path_factory, values, pbc):
    numbers = np.array(values).reshape(5, 3)
    cell = numbers[2:] if numbers[2:].any() else np.zeros((3, 3))
    structure = Structure(np.array([1, 92]), numbers[:2], cell, np.array(pbc), -3, 4)
    path = tmp_path_factory.mktemp("exact") / "s.extxyz"
    path.write_text(extxyz_text(structure))
    (found,) = from_file(path, AS_GIVEN)
    read = found.structure
    assert read.positions.tobytes() == structure.positions.tobytes()
    assert read.cell.tobytes() == structure.cell.tobytes()
    assert read.numbers.tolist() == [1, 92] and read.pbc.tolist() == list(pbc)
    assert (read.charge, read.multiplicity) == (-3, 4)


@given(text=st.text(max_size=200))
def test_a_safe_name_is_a_folder_and_a_material(text):
    name = safe_name(text)
    assert re.fullmatch(r"[\w+][\w.+-]*", name) and len(name) <= 80
    assert safe_name(name) == name


def test_doubles_get_a_suffix_that_nothing_else_has():
    water = [Unusable(name, "here", "") for name in ("water", "Water", "water-2", "water")]
    unique = with_unique_names(water)
    assert names(unique) == ["water", "Water-3", "water-2", "water-4"]
    assert unique[1].origin == "here; the name Water was taken"
    assert names(with_unique_names(unique)) == names(unique)
