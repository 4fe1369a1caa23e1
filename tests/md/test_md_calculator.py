"""The ASE calculator gives what the predictor said, and no more often than needed."""

import io

import numpy as np
import pytest
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.emt import EMT
from ase.io import write
from ase.optimize import BFGS
from md_toys import CERTAIN_STD, argons, copper, copper_emt, wells

from bnnflow.md import EnsembleCalculator
from bnnflow.records import Prediction, Structure


def test_results_are_the_prediction() -> None:
    atoms = copper().to_atoms()
    atoms.rattle(0.1, seed=1)
    atoms.calc = EnsembleCalculator(copper_emt)
    plain = atoms.copy()
    plain.calc = EMT()
    assert atoms.get_potential_energy() == plain.get_potential_energy()
    np.testing.assert_array_equal(atoms.get_forces(), plain.get_forces())
    np.testing.assert_array_equal(atoms.get_stress(), plain.get_stress())
    assert atoms.calc.get_property("energy_std", atoms) == CERTAIN_STD
    assert atoms.calc.get_property("energy_spread", atoms) == 0.5 * CERTAIN_STD
    assert atoms.calc.get_property("forces_std", atoms).shape == (4, 3)
    assert atoms.calc.get_property("stress_std", atoms).shape == (6,)
    assert atoms.calc.get_property("member_energies", atoms).shape == (2,)
    assert atoms.calc.prediction.energy == atoms.get_potential_energy()


def test_one_prediction_serves_all_properties_and_charge_and_spin_arrive() -> None:
    seen: list[Structure] = []

    def remember(structure: Structure) -> Prediction:
        seen.append(structure)
        return wells(structure)

    atoms = argons(2).to_atoms()
    atoms.calc = EnsembleCalculator(remember, charge=-1, multiplicity=2)
    atoms.get_potential_energy()
    atoms.get_forces()
    assert len(seen) == 1
    assert (seen[0].charge, seen[0].multiplicity) == (-1, 2)
    atoms.positions[0, 0] += 0.1
    atoms.get_forces()
    assert len(seen) == 2


def test_a_potential_without_stress_says_so() -> None:
    atoms = argons(2).to_atoms()
    atoms.calc = EnsembleCalculator(wells)
    with pytest.raises(PropertyNotImplementedError):
        atoms.get_stress()


def test_it_serves_other_parts_of_ase() -> None:
    atoms = argons(2).to_atoms()
    atoms.rattle(0.2, seed=1)
    atoms.calc = EnsembleCalculator(wells)
    assert BFGS(atoms, logfile=None).run(fmax=1e-6)
    np.testing.assert_allclose(atoms.positions, argons(2).positions, atol=1e-6)
    file = io.StringIO()
    write(file, atoms, format="extxyz")
    assert "energy=" in file.getvalue()
