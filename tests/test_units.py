import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from bnnflow import units


def test_kcal_per_mol_round_trip_and_value():
    assert units.from_kcal_per_mol(1.0) == pytest.approx(0.0433641, abs=1e-7)
    assert units.to_kcal_per_mol(1.0) == pytest.approx(23.0605, abs=1e-4)
    assert units.to_kcal_per_mol(units.from_kcal_per_mol(0.37)) == pytest.approx(0.37, rel=1e-14)


def test_constants_are_those_of_the_method():
    assert pytest.approx(4.336e-3, rel=1e-3) == units.FORCE_STD_START
    assert pytest.approx(2.710e-4, rel=1e-3) == units.STRESS_STD
    assert pytest.approx(27.2114, abs=1e-4) == units.HARTREE
    assert pytest.approx(0.529177, abs=1e-6) == units.BOHR
    assert pytest.approx(8.61733e-5, rel=1e-5) == units.KB
    assert pytest.approx(1e4 * units.BAR) == units.GPA


def test_voigt_order_is_that_of_ase():
    voigt = np.arange(1.0, 7.0)
    tensor = units.tensor_from_voigt(voigt)
    np.testing.assert_array_equal(tensor, voigt_6_to_full_3x3_stress(voigt))
    np.testing.assert_array_equal(units.voigt_from_tensor(tensor), voigt)
    np.testing.assert_array_equal(
        units.voigt_from_tensor(tensor), full_3x3_to_voigt_6_stress(tensor)
    )


def test_voigt_symmetrises_and_takes_leading_axes():
    rng = np.random.default_rng(0)
    tensors = rng.normal(size=(4, 2, 3, 3))
    voigt = units.voigt_from_tensor(tensors)
    assert voigt.shape == (4, 2, 6)
    symmetric = 0.5 * (tensors + np.swapaxes(tensors, -1, -2))
    np.testing.assert_allclose(units.tensor_from_voigt(voigt), symmetric)


def strained(strain: np.ndarray):
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell * 0.97, scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    atoms.calc = EMT()
    return atoms


def test_stress_is_the_energy_derivative_by_strain_and_negative_under_compression():
    """σ = (1/V) ∂E/∂ε with one lattice vector per row, in the order of VOIGT."""
    reference = strained(np.zeros((3, 3)))
    step = 1e-5
    derivative = np.empty(6)
    for component, (row, column) in enumerate(units.VOIGT):
        strain = np.zeros((3, 3))
        strain[row, column] += step / 2
        strain[column, row] += step / 2
        rise = strained(strain).get_potential_energy() - strained(-strain).get_potential_energy()
        derivative[component] = rise / (2 * step)
    stress = derivative / reference.get_volume()
    np.testing.assert_allclose(stress, reference.get_stress(), atol=1e-6)
    assert np.all(stress[:3] < 0.0)
    assert np.all(np.abs(stress[3:]) > 1e-5)


def test_a_shifted_energy_keeps_its_digits_unless_single_precision_is_asked_for():
    """Near 4,000 eV float32 has steps of 2^-12 eV: 0.0001 rounds to nothing, 0.0002 to a step."""
    assert units.shifted_energy(-4000.0001, 4000.0) == pytest.approx(-1e-4, abs=1e-12)
    assert units.shifted_energy(-4000.0001, 4000.0, float32=True) == 0.0
    assert units.shifted_energy(-4000.0002, 4000.0, float32=True) == -(2.0**-12)
