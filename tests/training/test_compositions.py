"""Energy shifts of several materials, against the numbers that were put in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_mace import molecules

from bnnflow.training.compositions import formula, joint_shifts, one_of_each, places

WATER, METHANOL, MONOXIDE = molecules()
REORDERED = replace(WATER, numbers=WATER.numbers[::-1].copy())


def test_a_composition_is_its_atoms_and_its_electrons() -> None:
    ion = replace(WATER, charge=1, multiplicity=2)
    structures = [WATER, METHANOL, REORDERED, ion, METHANOL]
    assert places(structures).tolist() == [0, 1, 0, 2, 1]
    assert one_of_each(structures) == [WATER, METHANOL, ion]
    assert [formula(each) for each in one_of_each(structures)] == [
        "H2O",
        "H4CO",
        "H2O+1, multiplicity 2",
    ]


def test_shifts_are_found_jointly_per_composition() -> None:
    """Two runs of water and one of methanol: the scatter of water's labels averages out."""
    structures = [WATER, METHANOL, REORDERED, METHANOL]
    reference = [-2000.0, -3000.0, -2000.5, -3001.0]
    predicted = [-10.0 + 0.1, -25.0, -10.5 - 0.1, -26.0]
    found = joint_shifts(structures, predicted, reference)
    np.testing.assert_allclose(found, [1990.0, 2975.0, 1990.0, 2975.0])


def test_one_label_has_its_own_difference() -> None:
    assert joint_shifts([MONOXIDE], [-3.0], [5.0]) == pytest.approx([-8.0])
