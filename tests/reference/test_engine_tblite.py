"""GFN-xTB: forces and stress against finite differences of the energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bnnflow.records import Failure, FailureCause, Label, LabelRequest, Structure
from bnnflow.reference import label
from bnnflow.reference.run_tblite import compute
from bnnflow.units import tensor_from_voigt

Ask = Callable[..., LabelRequest]

SETTINGS = {
    "method": "GFN2-xTB",
    "accuracy": 0.01,
    "max_iterations": 250,
    "mixer_damping": 0.4,
    "electronic_temperature_K": 300.0,
}


@pytest.mark.proves("energy", "forces", code="tblite")
@pytest.mark.parametrize("method", ["GFN2-xTB", "GFN1-xTB"])
def test_forces_are_minus_the_slope(method: str, water: Structure, tmp_path: Path) -> None:
    settings = SETTINGS | {"method": method}
    forces = compute(water, settings, tmp_path).forces
    step = 1e-3
    for index in np.ndindex(3, 3):
        ends = []
        for sign in (1, -1):
            positions = water.positions.copy()
            positions[index] += sign * step
            ends.append(compute(replace(water, positions=positions), settings, tmp_path).energy)
        assert forces[index] == pytest.approx(-(ends[0] - ends[1]) / (2 * step), abs=1e-4)


def water_crystal(water: Structure) -> Structure:
    """One water molecule in a skewed cell, so that all six components differ."""
    cell = np.array([[6.0, 0.0, 0.0], [0.75, 6.6, 0.0], [-0.45, 0.9, 7.2]])
    return replace(water, cell=cell, pbc=np.ones(3, dtype=bool))


@pytest.mark.proves("stress", code="tblite")
def test_stress_is_the_slope_of_the_energy_under_strain(water: Structure, tmp_path: Path) -> None:
    crystal = water_crystal(water)
    output = compute(crystal, SETTINGS, tmp_path)
    assert output.stress is not None
    volume = np.linalg.det(crystal.cell)
    step = 1e-3
    for component in range(6):
        unit = np.zeros(6)
        unit[component] = 1.0
        # a Voigt shear holds two equal off-diagonal elements, so their strain is shared
        strain = tensor_from_voigt(unit) * (1.0 if component < 3 else 0.5)
        ends = []
        for sign in (1, -1):
            deform = np.eye(3) + sign * step * strain
            strained = replace(
                crystal, cell=crystal.cell @ deform, positions=crystal.positions @ deform
            )
            ends.append(compute(strained, SETTINGS, tmp_path).energy)
        slope = (ends[0] - ends[1]) / (2 * step) / volume
        assert abs(slope) > 5e-5
        assert output.stress[component] == pytest.approx(slope, abs=1e-6)


def test_in_process_and_isolated_labels_agree(water: Structure, ask: Ask) -> None:
    crystal = water_crystal(water)
    here = label(ask(crystal, engine="tblite", folder="here"))
    there = label(ask(crystal, engine="tblite", isolated=True, folder="there"))
    assert isinstance(here, Label)
    assert isinstance(there, Label)
    assert here.stress is not None
    assert there.energy == pytest.approx(here.energy, abs=1e-8)
    np.testing.assert_allclose(there.forces, here.forces, atol=1e-7)
    np.testing.assert_allclose(there.stress, here.stress, atol=1e-9)
    assert "xx yy zz yz xz xy" in here.details["stress_convention"]
    assert here.details["version"]


@pytest.mark.proves("charge", "spin", code="tblite")
def test_charge_and_multiplicity_reach_the_code(water: Structure, ask: Ask) -> None:
    states = [(0, 1), (0, 3), (1, 2)]
    energies = []
    for charge, multiplicity in states:
        structure = replace(water, charge=charge, multiplicity=multiplicity)
        outcome = label(ask(structure, engine="tblite", folder=f"{charge}{multiplicity}"))
        assert isinstance(outcome, Label)
        energies.append(outcome.energy)
    assert energies[1] - energies[0] > 3.0
    assert energies[2] - energies[0] > 8.0


@pytest.mark.proves("not converged", code="tblite")
def test_no_convergence_is_a_failure(water: Structure, ask: Ask) -> None:
    outcome = label(ask(water, engine="tblite", max_iterations=2))
    assert isinstance(outcome, Failure)
    assert outcome.cause is FailureCause.NOT_CONVERGED
    assert "2 iterations" in outcome.message


@pytest.mark.proves("crash", code="tblite")
def test_atoms_on_top_of_each_other_are_a_failure(water: Structure, ask: Ask) -> None:
    positions = water.positions.copy()
    positions[1] = positions[2]
    outcome = label(ask(replace(water, positions=positions), engine="tblite"))
    assert isinstance(outcome, Failure)
    assert outcome.cause is FailureCause.CRASHED
    assert "close interatomic distances" in outcome.message
