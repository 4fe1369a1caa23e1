"""PySCF: forces against finite differences, energies against PySCF called directly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from pyscf import dft, gto, scf

from bnnflow.records import Failure, FailureCause, Label, LabelRequest, Structure
from bnnflow.reference import label
from bnnflow.reference.run_pyscf import compute
from bnnflow.units import HARTREE

Ask = Callable[..., LabelRequest]

SETTINGS = {
    "method": "HF",
    "basis": "sto-3g",
    "density_fit": False,
    "grid_level": 3,
    "grid_response": False,
    "conv_tol": 1e-11,
    "max_cycle": 100,
    "level_shift_Ha": 0.0,
    "second_order": False,
    "max_memory_mb": 1000,
}


def shifted(structure: Structure, atom: int, axis: int, step: float) -> Structure:
    positions = structure.positions.copy()
    positions[atom, axis] += step
    return Structure(structure.numbers, positions, multiplicity=structure.multiplicity)


def slope(structure: Structure, atom: int, axis: int, folder: Path, **settings: object) -> float:
    """dE/dx by central differences, eV/Å."""
    step = 3e-4
    ends = [
        compute(shifted(structure, atom, axis, sign * step), SETTINGS | settings, folder).energy
        for sign in (1, -1)
    ]
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.proves("forces", code="pyscf")
def test_hf_forces_are_minus_the_slope(water: Structure, tmp_path: Path) -> None:
    output = compute(water, SETTINGS, tmp_path)
    assert output.converged
    for atom, axis in ((0, 2), (1, 1), (2, 0), (2, 2)):
        assert output.forces[atom, axis] == pytest.approx(
            -slope(water, atom, axis, tmp_path), abs=2e-5
        )
    np.testing.assert_allclose(output.forces.sum(axis=0), 0.0, atol=1e-6)


@pytest.mark.proves("energy", code="pyscf")
def test_hf_energy_of_water_is_the_textbook_one(tmp_path: Path) -> None:
    """Szabo and Ostlund's setting: HF/STO-3G water is -74.963 Hartree near its minimum."""
    atoms = molecule("H2O")
    output = compute(Structure.from_atoms(atoms), SETTINGS, tmp_path)
    assert output.energy / HARTREE == pytest.approx(-74.963, abs=2e-3)


@pytest.mark.proves("forces", "spin", code="pyscf")
def test_density_fitted_unrestricted_forces_of_a_radical(tmp_path: Path) -> None:
    hydroxyl = Structure(
        np.array([8, 1]), np.array([[0.0, 0.1, 0.0], [0.0, 0.0, 1.05]]), multiplicity=2
    )
    output = compute(hydroxyl, SETTINGS | {"density_fit": True}, tmp_path)
    assert output.details["unrestricted"]
    assert output.details["spin_square"] == pytest.approx(0.75, abs=0.02)
    assert output.forces[1, 2] == pytest.approx(
        -slope(hydroxyl, 1, 2, tmp_path, density_fit=True), abs=2e-5
    )


@pytest.mark.proves("charge", "spin", code="pyscf")
def test_charge_and_multiplicity_reach_the_code(water: Structure, tmp_path: Path) -> None:
    for charge, multiplicity in ((1, 2), (0, 3)):
        state = {"charge": charge, "multiplicity": multiplicity}
        found = compute(replace(water, **state), SETTINGS, tmp_path)
        atoms = list(zip("OHH", water.positions.tolist(), strict=True))
        options = {"basis": "sto-3g", "charge": charge, "spin": multiplicity - 1, "verbose": 0}
        direct = scf.UHF(gto.M(atom=atoms, **options)).run(conv_tol=1e-11).e_tot
        assert found.energy == pytest.approx(direct * HARTREE, abs=1e-5)
        assert found.structure.charge == charge


def test_core_potentials_of_a_heavy_element_are_used(tmp_path: Path) -> None:
    iodide = Structure(np.array([53, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.61]]))
    settings = SETTINGS | {"basis": "def2-SVP", "density_fit": True}
    output = compute(iodide, settings, tmp_path)
    assert output.details["core_potentials"] == ["I"]
    assert output.structure.numbers.tolist() == [53, 1]
    assert output.energy / HARTREE == pytest.approx(-297.7, abs=0.5)  # all-electron: below -6900


@pytest.mark.proves("energy", "forces", code="pyscf")
def test_b3lyp_label_of_hydrogen_is_pyscf_called_directly(ask: Ask) -> None:
    distance = 0.80
    positions = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, distance]])
    hydrogen = Structure(np.array([1, 1]), positions)
    outcome = label(ask(hydrogen, engine="pyscf", grid_level=1))
    assert isinstance(outcome, Label)
    field = dft.RKS(gto.M(atom=f"H 0 0 0; H 0 0 {distance}", basis="def2-svp", verbose=0))
    field = field.density_fit()
    field.xc, field.grids.level = "b3lyp", 1
    assert outcome.energy == pytest.approx(field.kernel() * 27.211386, abs=1e-5)
    gradient = field.nuc_grad_method().kernel()
    np.testing.assert_allclose(outcome.forces, -gradient * 27.211386 / 0.529177, atol=1e-4)
    assert outcome.forces[1, 2] < 0.0  # stretched beyond 0.76 Å: pulled back
    assert outcome.stress is None
    assert outcome.level == "B3LYP/def2-SVP, density fitting, grid level 1 (PySCF)"
    assert outcome.details["converged"] is True
    assert outcome.details["gradient_includes_grid_response"] is False
    assert outcome.details["iterations"] > 1
    assert list(outcome.details["libxc"]) == [402]  # B3LYP with the VWN III/RPA correlation
    np.testing.assert_array_equal(outcome.structure.positions, positions)


@pytest.mark.proves("not converged", code="pyscf")
def test_no_convergence_is_a_failure(water: Structure, ask: Ask) -> None:
    outcome = label(ask(water, engine="pyscf", method="HF", basis="sto-3g", max_cycle=1))
    assert isinstance(outcome, Failure)
    assert outcome.cause is FailureCause.NOT_CONVERGED
    assert "did not converge in 1 iterations" in outcome.message
    assert "SCF not converged" in (Path(outcome.directory) / "pyscf.log").read_text()


def test_a_label_does_not_depend_on_the_one_before(water: Structure, tmp_path: Path) -> None:
    alone = compute(water, SETTINGS, tmp_path)
    compute(shifted(water, 1, 2, 0.3), SETTINGS, tmp_path)
    again = compute(water, SETTINGS, tmp_path)
    assert again.energy == alone.energy
    np.testing.assert_array_equal(again.forces, alone.forces)
