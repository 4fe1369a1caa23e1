"""What VASP is given: INCAR from options, template and structure; POSCAR, KPOINTS, POTCAR."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read
from vasp_library import REAL

from bnnflow.errors import ConfigError, ReferenceError, StructureError, UserError
from bnnflow.records import Structure
from bnnflow.reference import build_reference
from bnnflow.reference.vasp.incar import SEARCH, incar_text, parse_incar
from bnnflow.reference.vasp.kpoints import Mesh, divisions_for

Vasp = Callable[..., dict[str, Any]]


@pytest.fixture
def manganite() -> Structure:
    """Atoms of three species out of order."""
    scaled = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.1, 0, 0]]
    atoms = Atoms("OMnOLaMnO", scaled_positions=scaled, cell=np.diag([4.0, 5.0, 6.0]), pbc=True)
    return Structure.from_atoms(atoms)


def written(spec: dict[str, Any], structure: Structure, folder: Path) -> dict[str, str]:
    reference = build_reference(spec)
    reference.check(structure)
    folder.mkdir(exist_ok=True)
    reference.prepare(structure, folder)
    return parse_incar((folder / "INCAR").read_text())


def test_papers_settings_of_lanthanum_manganite(
    vasp: Vasp, manganite: Structure, tmp_path: Path
) -> None:
    spec = vasp(
        functional="PBE+U",
        encut_eV=500,
        ediff_eV=1e-4,
        kpoints=[4, 4, 4],
        magmom={"Mn": [4, -4], "O": 0.5},
        ldau={"Mn": {"U": 3.9, "l": "d"}},
        potcars={"Mn": "Mn_pv"},
    )
    tags = written(spec, manganite, tmp_path)
    assert {name: tags[name] for name in ("GGA", "ENCUT", "EDIFF", "ISPIN", "NSW", "IBRION")} == {
        "GGA": "PE",
        "ENCUT": "500",
        "EDIFF": "0.0001",
        "ISPIN": "2",
        "NSW": "0",
        "IBRION": "-1",
    }
    assert tags["MAGMOM"] == "3*0.5 4 -4 0"  # O Mn La, as they first appear
    assert (tags["LDAUL"], tags["LDAUU"], tags["LDAUJ"]) == ("-1 2 -1", "0 3.9 0", "3*0")
    assert (tags["LDAU"], tags["LDAUTYPE"], tags["LMAXMIX"]) == (".TRUE.", "2", "4")
    assert "NELECT" not in tags
    assert "NUPDOWN" not in tags
    assert (tmp_path / "KPOINTS").read_text().splitlines()[1:4] == ["0", "Gamma", "4 4 4"]
    level = build_reference(spec).level
    assert level.startswith("PBE+U (Mn d: U 3.9 J 0 eV), 500 eV, 4x4x4 Gamma-centred k-points")
    assert "POTCARs Mn_pv" in level


def test_poscar_is_the_structure_sorted(vasp: Vasp, manganite: Structure, tmp_path: Path) -> None:
    written(vasp(kpoints=[1, 1, 1]), manganite, tmp_path)
    atoms = read(tmp_path / "POSCAR")
    assert str(atoms.symbols) == "O3Mn2La"
    order = [0, 2, 5, 1, 4, 3]
    np.testing.assert_allclose(atoms.positions, manganite.positions[order], atol=1e-12)
    np.testing.assert_allclose(atoms.cell.array, manganite.cell, atol=1e-12)


@pytest.mark.skipif(REAL, reason="the real library holds other titles")
def test_potcars_are_joined_in_the_order_of_poscar(
    vasp: Vasp, manganite: Structure, tmp_path: Path
) -> None:
    written(vasp(kpoints=[1, 1, 1], potcars={"Mn": "Mn_pv"}), manganite, tmp_path)
    titles = [line.split()[3] for line in (tmp_path / "POTCAR").open() if "TITEL" in line]
    assert titles == ["O", "Mn_pv", "La"]


def test_a_molecule_stands_in_the_middle_of_its_box(
    vasp: Vasp, water: Structure, tmp_path: Path
) -> None:
    written(vasp(box_A=10.0), water, tmp_path)
    atoms = read(tmp_path / "POSCAR")
    np.testing.assert_allclose(atoms.cell.lengths(), 10.0)
    middle = 0.5 * (atoms.positions.min(axis=0) + atoms.positions.max(axis=0))
    np.testing.assert_allclose(middle, 5.0, atol=1e-12)
    shifts = atoms.positions - water.positions
    np.testing.assert_allclose(shifts, np.tile(shifts[0], (3, 1)), atol=1e-12)


@pytest.mark.proves("charge", "spin", code="vasp (stand-in)")
@pytest.mark.parametrize(
    ("charge", "multiplicity", "options", "expected"),
    [
        (0, 1, {}, {"ISPIN": "1", "NELECT": None, "NUPDOWN": None}),
        (1, 2, {}, {"ISPIN": "2", "NELECT": "7", "NUPDOWN": "1", "LORBIT": "10"}),
        (-1, 2, {}, {"NELECT": "9", "NUPDOWN": "1"}),
        (0, 3, {}, {"ISPIN": "2", "NUPDOWN": "2"}),
        (0, 3, {"fix_spin": False, "ispin": 2}, {"ISPIN": "2", "NUPDOWN": None}),
        (0, 1, {"fix_spin": True, "ispin": 2}, {"ISPIN": "2", "NUPDOWN": "0"}),
        (0, 1, {"magmom": {"O": 1}}, {"ISPIN": "2", "MAGMOM": "1 2*0", "NUPDOWN": None}),
        (0, 1, {"ispin": 2, "incar": {"LORBIT": 11}}, {"LORBIT": "11", "MAGMOM": None}),
    ],
)
def test_charge_and_spin(
    charge: int,
    multiplicity: int,
    options: dict[str, Any],
    expected: dict[str, str | None],
    vasp: Vasp,
    water: Structure,
    tmp_path: Path,
) -> None:
    structure = replace(water, charge=charge, multiplicity=multiplicity)
    tags = written(vasp(**options), structure, tmp_path)
    assert {name: tags.get(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("functional", "expected"),
    [
        ("PBE", {"GGA": "PE", "LHFCALC": None, "ALGO": None}),
        (
            "B3LYP",
            {
                "GGA": "B3",
                "LHFCALC": ".TRUE.",
                "AEXX": "0.2",
                "AGGAX": "0.72",
                "AGGAC": "0.81",
                "ALDAC": "0.19",
                "ALGO": "All",
            },
        ),
        ("HSE06", {"GGA": "PE", "AEXX": "0.25", "HFSCREEN": "0.2"}),
        ("r2SCAN", {"METAGGA": "R2SCAN", "LASPH": ".TRUE.", "GGA": None}),
    ],
)
def test_functionals(
    functional: str,
    expected: dict[str, str | None],
    vasp: Vasp,
    water: Structure,
    tmp_path: Path,
) -> None:
    tags = written(vasp(functional=functional), water, tmp_path)
    assert {name: tags.get(name) for name in expected} == expected


def test_every_setting_that_changes_numbers_is_in_the_level(vasp: Vasp) -> None:
    usual = build_reference(vasp()).level
    changes: list[dict[str, Any]] = [
        {"functional": "RPBE"},
        {"dispersion": "D3(BJ)"},
        {"encut_eV": 500},
        {"ediff_eV": 1e-5},
        {"prec": "Normal"},
        {"ismear": 1},
        {"sigma_eV": 0.1},
        {"ispin": 2},
        {"kpoints": [2, 2, 2]},
        {"kpoints": [2, 2, 2], "mesh": "monkhorst-pack"},
        {"kspacing_per_A": 0.3},
        {"potcars": {"O": "O_s"}},
        {"incar": {"LREAL": "Auto"}},
    ]
    levels = {usual, *(build_reference(vasp(**change)).level for change in changes)}
    assert len(levels) == 1 + len(changes)
    same: dict[str, Any] = {"incar": {"ALGO": "All", "NELM": 20, "AMIX": 0.1, "NCORE": 4}}
    assert build_reference(vasp(**same)).level == usual


def test_a_template_gives_what_no_option_sets(vasp: Vasp, water: Structure, tmp_path: Path) -> None:
    template = tmp_path / "INCAR.template"
    template.write_text(
        "comment of a user\nSYSTEM = mine ! his\nENCUT = 300; NELM=40  # few\nGGA = RP\nNSW = 99\n"
        "ismear = 1\nLREAL = \\\n Auto\nISMEAR = 2\n"
    )
    spec = vasp(incar_template=str(template), incar={"NELM": 50}, ediff_eV=None)
    tags = written(spec, water, tmp_path / "run")
    assert {name: tags[name] for name in ("ENCUT", "NELM", "GGA", "NSW", "ISMEAR", "LREAL")} == {
        "ENCUT": "400",
        "NELM": "50",
        "GGA": "PE",
        "NSW": "0",
        "ISMEAR": "1",
        "LREAL": "Auto",
    }
    own = vasp(incar_template=str(template), functional=None, encut_eV=None)
    assert build_reference(own).level.startswith("GGA=RP, 300 eV, Gamma point, Methfessel-Paxton")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encut_eV": None}, "encut_eV is missing"),
        ({"incar": {"ENCUT": 300}}, "incar holds ENCUT, which has an option of its own: set encut"),
        ({"incar": {"NSW": 5}}, "incar holds NSW"),
        ({"incar": {"GGA": "PE"}}, "set functional instead"),
        ({"incar": {"NELECT": 9}}, "set material.charge instead"),
        ({"incar": {"algo": "All"}}, "write ALGO"),
        ({"incar": {"LREAL": None}}, "incar.LREAL is None"),
        ({"incar": {"SYSTEM": "a\nNSW = 9"}}, "line break"),
        ({"functional": "PBO"}, "did you mean PBE?"),
        ({"functional": "PBE+U"}, "ldau is empty"),
        ({"ldau": {"Mn": {"U": 3.9, "l": "d"}}}, "name one with +U"),
        ({"functional": "PBE+U", "ldau": {"Mn": {"U": 3.9}}}, "expected {U: eV, J: eV"),
        ({"functional": "PBE+U", "ldau": {"Mn": {"U": "3.9", "l": "d"}}}, "expected {U: eV"),
        ({"kpoints": [2, 2]}, "expected three numbers"),
        ({"kpoints": [2, 2, 0]}, "from 1 on"),
        ({"kpoints": [2, 2, 1.5]}, "expected Sequence[int] | None"),
        ({"kpoints": [2, 2, 2], "kspacing_per_A": 0.3}, "both set"),
        ({"mesh": "shifted"}, "expected gamma or monkhorst-pack"),
        ({"ispin": 3}, "expected 1 or 2"),
        ({"ispin": 1, "magmom": {"O": 1}}, "ispin is 1"),
        ({"dispersion": "D3BJ"}, "did you mean D3(BJ)?"),
        ({"encut_eV": -1}, "expected a number above 0"),
        ({"encut_eV": "400"}, "expected float | None"),
        ({"program": " "}, "program is empty"),
        ({"incar_template": "INCAR"}, "expected an absolute path"),
    ],
)
def test_a_wrong_option_is_one_line(options: dict[str, Any], message: str, vasp: Vasp) -> None:
    with pytest.raises(ConfigError) as caught:
        build_reference(vasp(**options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("tag", ["MAGMOM = 5 -5", "LDAUU = 0 3.9", "NELECT = 100"])
def test_a_template_of_one_structure_is_refused(tag: str, vasp: Vasp, tmp_path: Path) -> None:
    template = tmp_path / "INCAR"
    template.write_text(f"PREC = Normal\n{tag}\n")
    with pytest.raises(ConfigError, match="belongs to one structure"):
        build_reference(vasp(incar_template=str(template)))


def test_a_missing_template_is_one_line(vasp: Vasp, tmp_path: Path) -> None:
    with pytest.raises(ReferenceError, match="cannot be read"):
        build_reference(vasp(incar_template=str(tmp_path / "nosuch")))


def box(water: Structure, **changes: Any) -> Structure:
    return replace(water, cell=10.0 * np.eye(3), pbc=np.ones(3, dtype=bool), **changes)


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ({"box_A": None}, {}, "set box_A"),
        ({"box_A": 1.0}, {}, "make the box larger"),
        ({}, {"multiplicity": 2}, "odd|even"),
        ({}, {"charge": 8}, "leaves 0 valence electrons"),
        ({"ispin": 1}, {"multiplicity": 3}, "set ispin to 2"),
        ({"magmom": {"H": [1, 2, 3]}}, {}, "give one value, or one per atom"),
        ({"potcars": {"O": "O_nosuch"}}, {}, "no POTCAR named O_nosuch"),
    ],
)
def test_a_structure_that_cannot_be_calculated(
    options: dict[str, Any], change: dict[str, Any], message: str, vasp: Vasp, water: Structure
) -> None:
    reference = build_reference(vasp(**options))
    with pytest.raises(UserError, match=message):
        reference.check(replace(water, **change))


def test_a_crystal_needs_k_points_and_a_right_handed_cell(vasp: Vasp, water: Structure) -> None:
    with pytest.raises(ConfigError, match="set kpoints"):
        build_reference(vasp()).check(box(water))
    mesh = build_reference(vasp(kpoints=[1, 1, 1]))
    mesh.check(box(water))
    with pytest.raises(StructureError, match="left-handed"):
        mesh.check(replace(box(water), cell=np.diag([10.0, 10.0, -10.0])))


def test_mesh_by_spacing() -> None:
    """b = 2 pi / a: 1.571, 0.785 and 0.628 1/Å along edges of 4, 8 and 10 Å."""
    cell = np.diag([4.0, 8.0, 10.0])
    assert divisions_for(0.5, cell) == (4, 2, 2)
    assert divisions_for(np.pi / 2, cell) == (1, 1, 1)
    assert divisions_for(10.0, cell) == (1, 1, 1)
    hexagonal = np.array([[3.0, 0, 0], [-1.5, 1.5 * 3**0.5, 0], [0, 0, 5.0]])
    assert divisions_for(0.25, hexagonal) == (10, 10, 6)  # b = 2.418, 2.418, 1.257


@pytest.mark.proves("mesh", code="vasp (stand-in)")
def test_the_mesh_says_where_it_is_centred() -> None:
    assert Mesh((1, 1, 1)).words == "Gamma point"
    shifted = Mesh((4, 4, 2), "monkhorst-pack")
    assert shifted.words == "4x4x2 Monkhorst-Pack k-points"
    assert shifted.text().splitlines()[2] == "Monkhorst-Pack"


def test_incar_reads_back() -> None:
    tags = {"A": True, "B": [0.0, 0.0, 5.0, -5.0, -5.0], "C": 1e-7, "D": "Auto", "E": [1, 1]}
    assert parse_incar(incar_text(tags)) == {
        "A": ".TRUE.",
        "B": "2*0 5 2*-5",
        "C": "1e-07",
        "D": "Auto",
        "E": "2*1",
    }


def test_the_papers_ethanol_needs_no_k_points(vasp: Vasp, tmp_path: Path) -> None:
    ethanol = Structure.from_atoms(molecule("CH3CH2OH"))
    spec = vasp(functional="B3LYP", encut_eV=800, ediff_eV=1e-6, box_A=30.0)
    written(spec, ethanol, tmp_path)
    lines = (tmp_path / "KPOINTS").read_text().splitlines()
    assert lines[:4] == ["Gamma point", "0", "Gamma", "1 1 1"]
    assert build_reference(spec).level.startswith("B3LYP, 800 eV, Gamma point")


@pytest.mark.proves("remedies", code="vasp (stand-in)")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"functional": "B3LYP", "incar": {"ALGO": "Damped", "NELM": 30}},
        {"functional": "PBE+U", "ldau": {"O": {"U": 4, "l": "p"}}, "incar": {"LREAL": "Auto"}},
        {"restart": True},
    ],
)
def test_remedies_change_the_search_and_never_the_level(
    options: dict[str, Any], vasp: Vasp, water: Structure, tmp_path: Path
) -> None:
    reference = build_reference(vasp(**options))
    usual = written(vasp(**options), water, tmp_path)
    for index, remedy in enumerate(reference.remedies()):
        assert remedy.reference.level == reference.level
        folder = tmp_path / str(index)
        folder.mkdir()
        remedy.reference.prepare(water, folder)
        tags = parse_incar((folder / "INCAR").read_text())
        changed = {tag for tag in tags | usual if tags.get(tag) != usual.get(tag)}
        assert changed <= SEARCH
        assert changed or remedy.name == "from atomic densities"
    names = [remedy.name for remedy in reference.remedies()]
    assert len(set(names)) == len(names) == 3 + bool(options.get("restart"))
