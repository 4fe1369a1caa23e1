"""Torsions found and measured against ASE; transitions and enrichment against hand counts."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from scipy import stats

from bnnflow.analysis import conformers

ETHANOL = molecule("CH3CH2OH")


def symbols(atoms: Atoms) -> str | None:
    quartet = conformers.torsion(atoms)
    return None if quartet is None else "".join(atoms.symbols[i] for i in quartet)


def test_ethanol_has_eight_bonds() -> None:
    assert len(conformers.bonds(ETHANOL)) == 8


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("CH3CH2OH", "HOCC"),
        ("CH3COOH", "HOCO"),  # of the acid carbon's other neighbours, O is the heaviest
        ("trans-butane", "CCCC"),
        ("H2O2", "HOOH"),
        ("CH3OH", None),
        ("CH4", None),
        ("H2O", None),
        ("C6H6", None),
        ("C3H6_D3h", None),
    ],
)
def test_torsion_of_molecules(name: str, expected: str | None) -> None:
    assert symbols(molecule(name)) == expected


def test_torsion_survives_reordering() -> None:
    order = np.random.default_rng(3).permutation(len(ETHANOL))
    assert symbols(ETHANOL[order]) == "HOCC"


def test_crystal_has_no_torsion() -> None:
    assert conformers.torsion(bulk("NaCl", "rocksalt", a=5.64, cubic=True)) is None


def test_dihedral_series_equals_ase_in_sign_and_size() -> None:
    quartet = conformers.torsion(ETHANOL)
    assert quartet is not None
    frames, wanted = [], np.arange(-170.0, 181.0, 25.0)
    for angle in wanted:
        atoms = ETHANOL.copy()
        atoms.set_dihedral(*quartet[::-1], angle, indices=[quartet[0]])
        atoms.rotate(33.0, (1, 2, 3))
        frames.append(atoms.positions)
    assert np.allclose(conformers.dihedral_series(np.array(frames), quartet), wanted, atol=1e-6)


def test_dihedral_is_positive_clockwise_along_the_bond() -> None:
    square = np.array([[(1.0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 1, 1)]])
    assert conformers.dihedral_series(square, (0, 1, 2, 3)) == pytest.approx([90.0])


def test_dihedral_of_no_frames_is_empty() -> None:
    assert conformers.dihedral_series(np.zeros((0, 9, 3)), (0, 1, 2, 3)).shape == (0,)


def test_conformers_by_angle() -> None:
    angles = [60.0, 0.0, 119.0, 121.0, 180.0, -180.0, -121.0, -119.0, -1.0, 300.0, 420.0]
    assert conformers.conformers(angles).tolist() == [1, 1, 1, 0, 0, 0, 0, -1, -1, -1, 1]


def test_transition_spans_from_leaving_to_arriving() -> None:
    angles = [60, 70, 95, 110, 130, 150, 175, -178]
    assert conformers.transitions(angles) == (conformers.Transition(2, 5, 1, 0),)


def test_transition_through_zero_joins_the_gauche_basins() -> None:
    assert conformers.transitions([55, 20, -20, -55]) == (conformers.Transition(1, 3, 1, -1),)


def test_excursion_that_falls_back_is_no_transition() -> None:
    assert conformers.transitions([60, 95, 125, 95, 60]) == ()


def test_jump_in_one_step_counts_its_arrival() -> None:
    assert conformers.transitions([60, -60]) == (conformers.Transition(1, 1, 1, -1),)


def test_in_transition_pads_and_stays_in_range() -> None:
    inside = conformers.in_transition((conformers.Transition(1, 2, 1, 0),), 6, padding=2)
    assert inside.tolist() == [True, True, True, True, True, False]


def test_enrichment_is_the_exact_binomial_tail() -> None:
    inside = np.zeros(200, dtype=bool)
    inside[:10] = True  # 5 % of the time
    labels = list(range(10)) + list(range(100, 153))  # the paper's 10 of 63
    found = conformers.enrichment(inside, labels)
    assert (found.labels_inside, found.labels, found.time_share) == (10, 63, 0.05)
    assert found.label_share == pytest.approx(0.1587, abs=1e-4)
    assert found.p_value == pytest.approx(stats.binom.sf(9, 63, 0.05))
    assert found.p_value < 0.002


@pytest.mark.parametrize(("frames", "labels"), [(0, []), (5, []), (5, [1])])
def test_enrichment_without_data_has_no_p_value(frames: int, labels: list[int]) -> None:
    assert np.isnan(conformers.enrichment(np.zeros(frames, dtype=bool), labels).p_value)
