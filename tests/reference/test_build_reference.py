"""From a config's mapping to a reference, or one line that says what is wrong."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bnnflow.errors import ConfigError, ReferenceError, StructureError, UserError
from bnnflow.records import Structure
from bnnflow.reference import build_reference

EMT = {"engine": "ase", "calculator": "ase.calculators.emt.EMT"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, "known: aims, ase, cp2k, espresso, gpaw, orca, pyscf, tblite"),
        ({"engine": "PySCFF"}, "did you mean pyscf?"),
        ({"engine": "pyscf", "bassis": "sto-3g"}, "did you mean basis?"),
        ({"engine": "tblite", "isolated": 1}, "isolated is 1, expected bool"),
        ({"engine": "tblite", "max_iterations": True}, "max_iterations"),
        ({"engine": "tblite", "method": "GFN0-xTB"}, "expected GFN2-xTB or GFN1-xTB"),
        ({"engine": "pyscf", "grid_level": "3"}, "grid_level"),
        ({"engine": "pyscf", "grid_level": 12}, "expected 0 to 9"),
        ({"engine": "pyscf", "max_cycle": 0}, "max_cycle"),
        ({"engine": "ase"}, "calculator is missing"),
        (EMT | {"arguments": {"a": object()}}, "plain values"),
        (EMT | {"threads": 0}, "threads"),
    ],
)
def test_a_wrong_option_is_one_line(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_reference(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["EMT", "nosuch.module.EMT", "ase.calculators.emt.parameters", ""])
def test_a_calculator_that_cannot_be_imported(path: str) -> None:
    with pytest.raises(ReferenceError, match="calculator"):
        build_reference({"engine": "ase", "calculator": path})


@pytest.mark.parametrize(
    ("engine", "line"), [("pyscf", r'pip install "bnnflow\[pyscf\]"'), ("tblite", "pip install")]
)
def test_a_missing_package_says_how_to_install_it(
    engine: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ReferenceError, match=line):
        build_reference({"engine": engine})


def test_level_isolation_and_stress() -> None:
    pyscf = build_reference({"engine": "pyscf", "method": "PBE0", "basis": "def2-TZVP"})
    assert pyscf.level == "PBE0/def2-TZVP, density fitting, grid level 3 (PySCF)"
    assert pyscf.isolated
    assert not pyscf.has_stress
    plain = build_reference({"engine": "pyscf", "method": "HF", "density_fit": False})
    assert plain.level == "HF/def2-SVP (PySCF)"
    tblite = build_reference({"engine": "tblite", "method": "GFN1-xTB"})
    assert (tblite.level, tblite.isolated, tblite.has_stress) == ("GFN1-xTB (tblite)", False, True)
    emt = build_reference(EMT)
    assert (emt.level, emt.isolated, emt.has_stress) == (
        "ASE calculator ase.calculators.emt.EMT",
        True,
        True,
    )


@pytest.mark.parametrize("engine", ["pyscf", "tblite"])
@pytest.mark.parametrize(
    ("charge", "multiplicity", "good"),
    [
        (0, 1, True),
        (0, 3, True),
        (1, 2, True),
        (-1, 2, True),
        (9, 2, True),
        (0, 2, False),
        (1, 1, False),
        (10, 1, False),
        (9, 4, False),
        (0, 0, False),
    ],
)
def test_electrons_and_multiplicity_must_agree(
    engine: str, charge: int, multiplicity: int, good: bool, water: Structure
) -> None:
    structure = replace(water, charge=charge, multiplicity=multiplicity)
    reference = build_reference({"engine": engine})
    if good:
        reference.check(structure)
    else:
        with pytest.raises(StructureError, match="correct charge or multiplicity"):
            reference.check(structure)


def test_periodic_directions(water: Structure) -> None:
    slab = replace(water, cell=9.0 * np.eye(3), pbc=np.array([True, True, False]))
    for engine in ("pyscf", "tblite"):
        with pytest.raises(StructureError, match=r"pbc|periodic"):
            build_reference({"engine": engine}).check(slab)
    build_reference(EMT).check(slab)


def test_an_element_beyond_the_method(water: Structure) -> None:
    heavy = replace(water, numbers=np.array([92, 1, 1]))
    with pytest.raises(StructureError, match="ends at element 86"):
        build_reference({"engine": "tblite"}).check(heavy)


def test_names_that_pyscf_does_not_know(water: Structure) -> None:
    for option in ({"method": "B4LYP"}, {"basis": "def2-NOSUCH"}, {"method": "wb97x-d"}):
        with pytest.raises(ReferenceError, match="PySCF"):
            build_reference({"engine": "pyscf"} | option).check(water)
    for method in ("HF", "b3lyp", "PBE0", "pbe,pbe"):
        build_reference({"engine": "pyscf", "method": method}).check(water)


def test_a_charge_is_never_dropped_in_silence(water: Structure) -> None:
    for structure in (replace(water, charge=1), replace(water, multiplicity=3)):
        with pytest.raises(UserError, match="not told"):
            build_reference(EMT).check(structure)
