"""ORCA's input and output; the program itself cannot be had here.

The outputs are written after ORCA's documented format, with numbers of our own, and an executable
that prints them stands in for the program.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnnflow.errors import StructureError
from bnnflow.records import Failure, FailureCause, Label, LabelRequest, Structure
from bnnflow.reference import build_reference, label
from bnnflow.units import BOHR, HARTREE

Ask = Callable[..., LabelRequest]
SPEC = {"engine": "orca", "method": "B3LYP", "basis": "def2-SVP"}

ENERGY = -76.321456789012
GRADIENT = np.array([[0.01, -0.02, 0.03], [-0.004, 0.005, -0.006], [-0.006, 0.015, -0.024]])


def printout(
    structure: Structure, *, scf: str = "", ending: str = "ORCA TERMINATED NORMALLY"
) -> str:
    """A single point with gradient as ORCA prints it."""
    symbols = [{1: "H", 8: "O"}[number] for number in structure.numbers]
    atoms = "\n".join(
        f"  {symbol}  " + "".join(f"{value:12.6f}" for value in position)
        for symbol, position in zip(symbols, structure.positions, strict=True)
    )
    gradient = "\n".join(
        f"{index:4d}   {symbol}   :" + "".join(f"{value:15.9f}" for value in row)
        for index, (symbol, row) in enumerate(zip(symbols, GRADIENT, strict=True), start=1)
    )
    converged = scf or "               *           SCF CONVERGED AFTER  12 CYCLES          *"
    return f"""
                         Program Version 6.0.1 -  RELEASE  -

---------------------------------
CARTESIAN COORDINATES (ANGSTROEM)
---------------------------------
{atoms}

Number of atoms                             ...      3
{converged}
Expectation value of <S**2>     :     0.754321

-------------------------   --------------------
FINAL SINGLE POINT ENERGY       {ENERGY:.12f}
-------------------------   --------------------

------------------
CARTESIAN GRADIENT
------------------

{gradient}

                             ****{ending}****
"""


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., str]:
    """An executable that prints a text and ends with an exit code."""

    def make(text: str, *, code: int = 0, then: str = "") -> str:
        path, said = tmp_path / "orca", tmp_path / "said"
        said.write_text(text)
        path.write_text(
            f"#!/bin/sh\ncat {said}\ntouch orca.gbw orca_property.tmp.0\n{then}\nexit {code}\n"
        )
        path.chmod(0o755)
        return str(path)

    return make


def written(structure: Structure, directory: Path, **options: Any) -> str:
    build_reference(SPEC | options).prepare(structure, directory)
    return (directory / "orca.inp").read_text()


@pytest.mark.proves("charge", "spin", code="orca (stand-in)")
def test_the_input_says_method_charge_spin_and_atoms(water: Structure, tmp_path: Path) -> None:
    text = written(
        replace(water, charge=1, multiplicity=2),
        tmp_path,
        keywords="D3BJ",
        blocks='%basis AuxJ "def2/J" end',
        ranks=4,
        max_steps=77,
    )
    assert text.startswith("! B3LYP def2-SVP EnGrad TightSCF D3BJ ")
    for line in (
        "%pal nprocs 4 end",
        "%scf MaxIter 77 end",
        '%basis AuxJ "def2/J" end',
        "*xyz 1 2",
    ):
        assert line in text
    rows = re.findall(r"^(O|H)\s+(\S+) (\S+) (\S+)$", text, re.M)
    assert [row[0] for row in rows] == ["O", "H", "H"]
    np.testing.assert_array_equal(np.array([row[1:] for row in rows], dtype=float), water.positions)


def test_the_level_names_what_changes_numbers() -> None:
    spec = {"keywords": "D3BJ", "blocks": "%method\n Grid 5\nend", "scf_keywords": "SlowConv"}
    level = build_reference(SPEC | spec).level
    assert level == "B3LYP/def2-SVP, D3BJ, %method Grid 5 end (ORCA)"


@pytest.mark.proves("energy", "forces", "spin", code="orca (stand-in)")
def test_energy_and_forces_are_those_of_the_printout(
    water: Structure, ask: Ask, program: Callable[..., str]
) -> None:
    found = label(ask(water, **SPEC, executable=program(printout(water))))
    assert isinstance(found, Label), found
    assert found.energy == pytest.approx(ENERGY * HARTREE, abs=1e-8)
    np.testing.assert_allclose(found.forces, -GRADIENT * HARTREE / BOHR, atol=1e-8)
    assert found.stress is None
    assert (found.details["iterations"], found.details["version"]) == (12, "6.0.1")
    assert found.details["spin_square"] == 0.754321
    files = {path.name for path in (Path(found.directory) / "attempt-01").iterdir()}
    assert files == {"orca.inp", "output.log"}


@pytest.mark.proves("restart", code="orca (stand-in)")
def test_orbitals_go_from_label_to_label_on_request(
    water: Structure, ask: Ask, program: Callable[..., str]
) -> None:
    spec = SPEC | {"executable": program(printout(water)), "restart": True}
    assert isinstance(label(ask(water, **spec)), Label)
    second = label(ask(water, **spec, folder="0002", previous="0001"))
    assert isinstance(second, Label)
    assert second.details["restarted_from"] == "0001"
    text = (Path(second.directory) / "attempt-01" / "orca.inp").read_text()
    assert "MORead" in text
    assert '%moinp "start.gbw"' in text


STOPPED = "               *           SCF NOT CONVERGED AFTER 125 CYCLES          *"


@pytest.mark.proves("not converged", code="orca (stand-in)")
@pytest.mark.parametrize("code", [0, 55])
def test_no_convergence_is_a_failure_with_its_remedies_named(
    code: int, water: Structure, ask: Ask, program: Callable[..., str]
) -> None:
    text = printout(water, scf=STOPPED, ending="ORCA finished by error termination in SCF")
    failure = label(ask(water, **SPEC, executable=program(text, code=code)))
    assert isinstance(failure, Failure)
    assert failure.cause is FailureCause.NOT_CONVERGED
    assert "125 iterations; tried too: SlowConv and 375 cycles, VerySlowConv" in failure.message


@pytest.mark.proves("wrong input", code="orca (stand-in)")
def test_an_unknown_keyword_is_bad_input(
    water: Structure, ask: Ask, program: Callable[..., str]
) -> None:
    text = "UNRECOGNIZED OR DUPLICATED KEYWORD(S) IN SIMPLE INPUT LINE\n  B4LYP\n"
    failure = label(ask(water, **SPEC, executable=program(text, code=1)))
    assert isinstance(failure, Failure)
    assert failure.cause is FailureCause.BAD_INPUT
    assert "B4LYP" in failure.message


@pytest.mark.proves("crash", code="orca (stand-in)")
@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("CARTESIAN GRADIENT", "without energy, gradient"),
        ("SCF CONVERGED", "without energy, gradient"),
        ("ORCA TERMINATED NORMALLY", "did not finish"),
    ],
)
def test_an_output_without_its_end_is_a_crash(
    cut: str, message: str, water: Structure, ask: Ask, program: Callable[..., str]
) -> None:
    text = printout(water).replace(cut, "something else")
    failure = label(ask(water, **SPEC, executable=program(text)))
    assert isinstance(failure, Failure)
    assert failure.cause is FailureCause.CRASHED
    assert message in failure.message


def test_another_geometry_is_refused(
    water: Structure, ask: Ask, program: Callable[..., str]
) -> None:
    moved = replace(water, positions=water.positions + 1e-3)
    failure = label(ask(water, **SPEC, executable=program(printout(moved))))
    assert isinstance(failure, Failure)
    assert failure.cause is FailureCause.WRONG_GEOMETRY


def test_electrons_and_periodicity_are_checked(water: Structure) -> None:
    reference = build_reference(SPEC)
    with pytest.raises(StructureError, match="correct charge or multiplicity"):
        reference.check(replace(water, charge=1))
    with pytest.raises(StructureError, match="periodic"):
        reference.check(replace(water, cell=9 * np.eye(3), pbc=np.ones(3, dtype=bool)))


@pytest.mark.proves("remedies", code="orca (stand-in)")
def test_remedies_keep_the_level() -> None:
    reference = build_reference(SPEC)
    assert [remedy.reference.level for remedy in reference.remedies()] == [reference.level] * 2
