"""Any ASE calculator by its import path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from bnnflow.records import Failure, FailureCause, Label, LabelRequest, Structure
from bnnflow.reference import build_reference, label

Ask = Callable[..., LabelRequest]


@pytest.fixture
def copper() -> Structure:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=1)
    sheared = atoms.cell.array @ np.array([[1.0, 0.03, 0.0], [0.0, 1.02, 0.01], [0.0, 0.0, 1.0]])
    atoms.set_cell(sheared, scale_atoms=True)
    return Structure.from_atoms(atoms)


@pytest.mark.proves("energy", "forces", "stress", code="ase")
@pytest.mark.parametrize("isolated", [True, False])
def test_emt_by_import_path(isolated: bool, copper: Structure, ask: Ask) -> None:
    outcome = label(
        ask(
            copper,
            engine="ase",
            calculator="ase.calculators.emt.EMT",
            arguments={"asap_cutoff": True},
            level="EMT",
            isolated=isolated,
        )
    )
    assert isinstance(outcome, Label)
    atoms = copper.to_atoms()
    atoms.calc = EMT(asap_cutoff=True)
    assert outcome.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(outcome.forces, atoms.get_forces(), atol=1e-10)
    assert outcome.stress is not None
    np.testing.assert_allclose(outcome.stress, atoms.get_stress(), atol=1e-12)
    assert outcome.level == "EMT"
    assert outcome.details["code"] == "ase.calculators.emt.EMT"
    assert outcome.details["converged"] is None


def test_no_stress_without_a_cell(copper: Structure, ask: Ask) -> None:
    cluster = replace(copper, pbc=np.zeros(3, dtype=bool))
    spec = {"engine": "ase", "calculator": "ase.calculators.emt.EMT", "isolated": False}
    outcome = label(ask(cluster, **spec))
    assert isinstance(outcome, Label)
    assert outcome.stress is None


@pytest.mark.proves("energy", code="ase")
def test_the_energy_is_the_one_the_forces_belong_to(bad: str, water: Structure, ask: Ask) -> None:
    outcome = label(ask(water, engine="ase", calculator=f"{bad}.TwoEnergies", isolated=False))
    assert isinstance(outcome, Label)
    assert outcome.energy == 2.0
    assert outcome.details["energy_kind"] == "free_energy"


def test_forces_of_another_geometry_are_refused_though_the_energy_is_right(
    bad: str, water: Structure, ask: Ask
) -> None:
    """The energy is asked for after the forces, and a calculator may then calculate once more."""
    spec = {"engine": "ase", "calculator": f"{bad}.ElsewhereAtFirst", "isolated": False}
    outcome = label(ask(water, **spec))
    assert isinstance(outcome, Failure) and outcome.cause is FailureCause.WRONG_GEOMETRY


@pytest.mark.proves("charge", "spin", code="ase")
def test_charge_and_multiplicity_reach_the_calculator(bad: str, water: Structure, ask: Ask) -> None:
    spec = {"engine": "ase", "calculator": f"{bad}.Electrons", "isolated": False}
    told = spec | {"charge_argument": "total_charge", "multiplicity_argument": "spin"}
    outcome = label(ask(replace(water, charge=-1, multiplicity=2), **told))
    assert isinstance(outcome, Label)
    assert outcome.energy == -8.0


def test_the_command_carries_the_thread_count(tmp_path: Path) -> None:
    spec = {"engine": "ase", "calculator": "ase.calculators.emt.EMT", "threads": 3}
    command = build_reference(spec).command(tmp_path)
    assert command[:2] == ["env", "OMP_NUM_THREADS=3"]
    assert command[-2:] == ["bnnflow.reference.run_ase", str(tmp_path.resolve())]
