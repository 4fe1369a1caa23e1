import pickle
from dataclasses import FrozenInstanceError, fields, is_dataclass

import numpy as np
import pytest
from ase.build import bulk, molecule

from bnnflow import records
from bnnflow.errors import StructureError
from bnnflow.records import Label, Prediction, Structure


def prediction(**changes) -> Prediction:
    values = {
        "energy": -1.0,
        "energy_std": 0.1,
        "energy_spread": 0.05,
        "member_energies": np.array([-1.0, -1.1]),
        "forces": np.zeros((2, 3)),
        "forces_std": np.ones((2, 3)),
    }
    return Prediction(**(values | changes))


def test_structure_and_atoms_round_trip():
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    structure = Structure.from_atoms(atoms, charge=1, multiplicity=2)
    assert structure.to_atoms() == atoms
    assert (structure.charge, structure.multiplicity, len(structure)) == (1, 2, 2)


def test_structure_does_not_share_memory_with_the_atoms():
    atoms = molecule("H2O")
    structure = Structure.from_atoms(atoms)
    kept = structure.positions.copy()
    atoms.positions += 1.0
    structure.to_atoms().positions += 1.0
    np.testing.assert_array_equal(structure.positions, kept)


@pytest.mark.parametrize(
    ("numbers", "positions"),
    [(np.ones(2, int), np.zeros((3, 3))), (np.ones((2, 1), int), np.zeros((2, 3)))],
)
def test_wrong_shapes_are_refused_with_what_was_expected(numbers, positions):
    with pytest.raises(StructureError, match="expected"):
        Structure(numbers=numbers, positions=positions)


def test_finite_looks_at_every_number():
    assert prediction(stress=np.zeros(6), stress_std=np.ones(6)).finite
    assert not prediction(energy=np.nan).finite
    assert not prediction(energy_std=np.inf).finite
    assert not prediction(forces=np.full((2, 3), np.nan)).finite
    assert not prediction(forces_std=np.full((2, 3), np.inf)).finite
    assert not prediction(stress=np.full(6, np.nan)).finite


def test_records_are_frozen():
    label = Label(
        structure=Structure.from_atoms(molecule("H2")),
        energy=-1.0,
        forces=np.zeros((2, 3)),
        stress=None,
        level="none",
        directory="",
        seconds=0.0,
        host="",
    )
    with pytest.raises(FrozenInstanceError):
        label.energy = 0.0
    again = pickle.loads(pickle.dumps(label))
    np.testing.assert_array_equal(again.structure.positions, label.structure.positions)


def test_every_record_is_frozen_and_documented():
    kinds = [value for value in vars(records).values() if is_dataclass(value)]
    assert len(kinds) > 20
    for kind in kinds:
        assert kind.__dataclass_params__.frozen, kind
        assert not kind.__doc__.startswith(f"{kind.__name__}("), kind


def test_no_two_records_share_a_mutable_default():
    one, two = (Structure(np.ones(1, int), np.zeros((1, 3))) for _ in range(2))
    for item in fields(Structure):
        first, second = getattr(one, item.name), getattr(two, item.name)
        assert not isinstance(first, np.ndarray) or not np.shares_memory(first, second)
