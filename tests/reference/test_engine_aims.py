"""FHI-aims' input and output; the program itself cannot be had here.

The outputs are written after the program's documented format, with numbers of our own, and an
executable that prints them stands in for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from bnnflow.errors import ReferenceError, StructureError, UserError
from bnnflow.records import Failure, FailureCause, Label, LabelRequest, Structure
from bnnflow.reference import build_reference, label

Ask = Callable[..., LabelRequest]
ENERGY = -15800.123456789
FORCES = np.array([[0.1, -0.2, 0.3], [-0.1, 0.2, -0.3]])
STRESS = np.array([[0.011, 0.001, 0.002], [0.001, 0.022, 0.003], [0.002, 0.003, 0.033]])
SYMBOLS = {1: "H", 8: "O", 14: "Si"}


@pytest.fixture
def species(tmp_path: Path) -> Path:
    """A folder of species files, of which our input needs no more than the name."""
    folder = tmp_path / "defaults_2020" / "light"
    folder.mkdir(parents=True)
    for name in ("01_H", "08_O", "14_Si"):
        (folder / f"{name}_default").write_text(f"  species        {name[3:]}\n")
    return folder


def silicon() -> Structure:
    atoms = bulk("Si")
    atoms.rattle(0.05, seed=1)
    return Structure.from_atoms(atoms)


def rows(values: np.ndarray, form: str) -> list[str]:
    return ["".join(form.format(value) for value in row) for row in values]


def printout(structure: Structure, *, scf: str = "Self-consistency cycle converged.") -> str:
    """A single point with forces, and the stress of a crystal, as FHI-aims prints it."""
    cell = ["  | Unit cell:", *(f"  |  {row}" for row in rows(structure.cell, "{:18.8f}"))]
    atoms = [
        f"  |{index:5d}: Species {SYMBOLS[number]:<10s} {row}"
        for index, (number, row) in enumerate(
            zip(structure.numbers, rows(structure.positions, "{:17.8f}"), strict=True), start=1
        )
    ]
    forces = [
        f"  |{index:5d} {row}" for index, row in enumerate(rows(FORCES, "{:30.15E}"), start=1)
    ]
    frame = "  |" + " " * 67 + "|"
    stress = [
        "  +-------------------------------------------------------------------+",
        "  |              Analytical stress tensor - Symmetrized               |",
        "  |                  Cartesian components [eV/A**3]                   |",
        "  +-------------------------------------------------------------------+",
        "  |                x                y                z                |",
        frame,
        *(
            f"  |  {axis} {row}           |"
            for axis, row in zip("xyz", rows(STRESS, "{:17.8f}"), strict=True)
        ),
        frame,
    ]
    periodic = bool(structure.pbc.any())
    return "\n".join(
        [
            "          Invoking FHI-aims ...",
            "  FHI-aims version      : 240507",
            f"  | Number of atoms                   : {len(structure):8d}",
            "  | Number of spin channels           :        1",
            "  The structure contains        2 atoms,  and a total of         28.000 electrons.",
            "  | Number of Kohn-Sham states (occupied + empty):       18",
            "  Input geometry:",
            *(cell if periodic else ["  | No unit cell requested."]),
            "  | Atomic structure:",
            "  |       Atom                x [A]            y [A]            z [A]",
            *atoms,
            "          Begin self-consistency iteration #    1",
            f"  {scf}",
            *(stress if periodic else []),
            "  Energy and forces in a compact form:",
            f"  | Total energy uncorrected      :   {ENERGY + 1:30.15E} eV",
            f"  | Total energy corrected        :   {ENERGY + 2:30.15E} eV  <-- do not",
            f"  | Electronic free energy        :   {ENERGY:30.15E} eV",
            "  Total atomic forces (unitary forces cleaned) [eV/Ang]:",
            *forces,
            "  | Number of self-consistency cycles          :           11",
            "          Have a nice day.",
            "------------------------------------------------------------",
        ]
    )


@pytest.fixture
def spec(species: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Settings whose executable prints a text and ends with an exit code."""

    def make(text: str = "", *, code: int = 0, **options: Any) -> dict[str, Any]:
        path, said = tmp_path / "aims.x", tmp_path / "said"
        said.write_text(text)
        path.write_text(f"#!/bin/sh\ncat {said}\nexit {code}\n")
        path.chmod(0o755)
        usual = {"engine": "aims", "species_folder": str(species), "k_points": [4, 3, 2]}
        return usual | {"executable": str(path)} | options

    return make


Spec = Callable[..., dict[str, Any]]


def written(structure: Structure, directory: Path, spec: dict[str, Any]) -> dict[str, str]:
    """Keywords of `control.in`."""
    build_reference(spec).prepare(structure, directory)
    lines = (directory / "control.in").read_text().splitlines()
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2}


@pytest.mark.proves("charge", "spin", code="aims (stand-in)")
def test_charge_and_spin_are_written(spec: Spec, water: Structure, tmp_path: Path) -> None:
    found = written(replace(water, charge=1, multiplicity=2), tmp_path, spec())
    assert found["charge"] == "1.0"
    assert (found["spin"], found["fixed_spin_moment"]) == ("collinear", "1.0")
    assert written(water, tmp_path, spec())["spin"] == "none"
    geometry = (tmp_path / "geometry.in").read_text()
    assert "lattice_vector" not in geometry
    positions = re.findall(r"^atom (\S+) (\S+) (\S+)", geometry, re.M)
    np.testing.assert_allclose(np.array(positions, dtype=float), water.positions, atol=1e-15)


def test_a_free_moment_starts_as_said(spec: Spec, tmp_path: Path) -> None:
    free = spec(
        spin="free",
        starting_magnetization={"Si": 1.5},
        smearing="gaussian",
        smearing_width_eV=0.1,
    )
    found = written(silicon(), tmp_path, free)
    assert found["spin"] == "collinear"
    assert "fixed_spin_moment" not in found
    assert (tmp_path / "geometry.in").read_text().count("initial_moment         1.500000") == 2


@pytest.mark.proves("mesh", code="aims (stand-in)")
@pytest.mark.parametrize(
    ("kind", "offset"), [("gamma", [0.0, 0.0, 0.0]), ("monkhorst-pack", [1 / 8, 0.0, 1 / 4])]
)
def test_the_mesh_is_written_with_its_offset(
    kind: str, offset: list[float], spec: Spec, tmp_path: Path
) -> None:
    found = written(silicon(), tmp_path, spec(k_mesh=kind))
    assert found["k_grid"] == "4 3 2"
    assert [float(word) for word in found["k_offset"].split()] == offset
    assert found["compute_analytical_stress"] == ".true."


@pytest.mark.parametrize(
    ("smearing", "line"),
    [
        ("gaussian", "gaussian 0.1"),
        ("fermi-dirac", "fermi 0.1"),
        ("methfessel-paxton", "methfessel-paxton 0.1 1"),
    ],
)
def test_smearing_and_further_keywords(
    smearing: str, line: str, spec: Spec, tmp_path: Path
) -> None:
    options = spec(smearing=smearing, smearing_width_eV=0.1, extra={"vdw_correction": "x"})
    found = written(silicon(), tmp_path, options)
    assert found["occupation_type"] == line
    assert found["vdw_correction"] == "x"
    level = build_reference(options).level
    assert f"{smearing} smearing 0.1 eV, vdw_correction=x (FHI-aims)" in level
    assert level.startswith("pbe/light, atomic_zora scalar, 4x3x2 k-points, Gamma-centred")


@pytest.mark.proves("energy", "forces", "stress", code="aims (stand-in)")
def test_numbers_are_those_of_the_printout(spec: Spec, ask: Ask) -> None:
    structure = silicon()
    found = label(ask(structure, **spec(printout(structure))))
    assert isinstance(found, Label), found
    assert found.energy == pytest.approx(ENERGY, abs=1e-9)
    np.testing.assert_allclose(found.forces, FORCES, atol=1e-12)
    expected = [0.011, 0.022, 0.033, 0.003, 0.002, 0.001]
    np.testing.assert_allclose(found.stress, expected, atol=1e-12)
    assert found.details["energy_kind"] == "free energy, -TS included"
    assert (found.details["iterations"], found.details["version"]) == (11, "240507")
    assert found.details["k_points"] == "4x3x2 k-points, Gamma-centred"


def test_a_molecule_needs_no_box(spec: Spec, ask: Ask) -> None:
    dimer = Structure(np.array([1, 1]), np.array([[0.0, 0, 0], [0.0, 0, 0.74]]))
    found = label(ask(dimer, **spec(printout(dimer))))
    assert isinstance(found, Label), found
    assert found.stress is None
    assert "k_points" not in found.details


@pytest.mark.proves("not converged", "remedies", code="aims (stand-in)")
@pytest.mark.parametrize("code", [0, 1])
def test_no_convergence_is_a_failure_with_its_remedies_named(
    code: int, spec: Spec, ask: Ask
) -> None:
    structure = silicon()
    text = printout(structure, scf="*** scf_solver: SCF cycle not converged.")
    failure = label(ask(structure, **spec(text, code=code, max_steps=40)))
    assert isinstance(failure, Failure)
    assert failure.cause is FailureCause.NOT_CONVERGED
    assert "40 iterations; tried too: Pulay mixing 0.05 and 120 steps" in failure.message


@pytest.mark.proves("crash", code="aims (stand-in)")
@pytest.mark.parametrize(
    "cut", ["Have a nice day.", "Self-consistency cycle converged.", "Total atomic forces"]
)
def test_an_output_without_its_end_is_a_crash(cut: str, spec: Spec, ask: Ask) -> None:
    structure = silicon()
    failure = label(ask(structure, **spec(printout(structure).replace(cut, "..."))))
    assert isinstance(failure, Failure)
    assert failure.cause is FailureCause.CRASHED


def test_another_geometry_is_refused(spec: Spec, ask: Ask) -> None:
    structure = silicon()
    for other in (
        replace(structure, positions=structure.positions + 1e-3),
        replace(structure, cell=structure.cell * 1.001),
    ):
        failure = label(ask(structure, **spec(printout(other))))
        assert isinstance(failure, Failure)
        assert failure.cause is FailureCause.WRONG_GEOMETRY


@pytest.mark.proves("missing core", code="aims (stand-in)")
def test_a_missing_species_file_is_one_line(spec: Spec) -> None:
    helium = Structure(np.array([2]), np.zeros((1, 3)))
    with pytest.raises(ReferenceError, match="02_He_default: correct species_folder"):
        build_reference(spec()).check(helium)


def test_what_cannot_be_calculated_is_refused(spec: Spec, water: Structure) -> None:
    with pytest.raises(StructureError, match="correct charge or multiplicity"):
        build_reference(spec()).check(replace(water, charge=1))
    with pytest.raises(UserError, match="k_points or k_spacing_per_A"):
        build_reference(spec(k_points=[])).check(silicon())
