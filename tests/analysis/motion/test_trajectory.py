"""Frames that fit together, their ranges, and where trajectories are read from."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from motions import motion

from bnnflow.errors import ConfigError, StructureError


def test_species_are_found_by_symbol() -> None:
    found = motion(["Mn", "O", "O"], np.zeros((3, 3, 3)), 5.0)
    assert found.atoms_of("O").tolist() == [1, 2]
    assert found.atoms_of("all").tolist() == [0, 1, 2]
    assert found.masses == pytest.approx(Atoms("MnO2").get_masses())


def test_unknown_and_absent_species_are_told_apart() -> None:
    found = motion("O", np.zeros((2, 1, 3)), 5.0)
    with pytest.raises(ConfigError, match="'Oxygen' is no element"):
        found.atoms_of("Oxygen")
    with pytest.raises(StructureError, match="found no H atom"):
        found.atoms_of("H")


def test_range_of_time_and_every_nth_frame() -> None:
    found = motion("H", np.arange(30.0).reshape(10, 1, 3), 50.0, timestep=0.5)
    kept = found.between(1.0, 4.0, every=3)
    assert kept.times.tolist() == [1.0, 2.5, 4.0]
    assert kept.timestep == 1.5
    assert kept.positions[:, 0, 0].tolist() == [6.0, 15.0, 24.0]
    with pytest.raises(StructureError, match="found 1 frames, expected at least 2"):
        found.between(0.0, 0.2)


def test_stretches_cover_all_frames_in_order() -> None:
    found = motion("H", np.zeros((10, 1, 3)), 5.0)
    rows = np.concatenate([found.times[part] for part in found.stretches(3)])
    assert np.array_equal(rows, found.times)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"positions": np.zeros((3, 2, 3))}, "do not fit 3 times and 1 atoms"),
        ({"times": np.array([0.0, 1.0, 3.0])}, "from 1 to 2 fs, expected equal steps"),
        ({"times": np.array([0.0, -1.0, -2.0])}, "expected equal steps"),
    ],
)
def test_frames_that_do_not_fit_are_refused(change: dict, words: str) -> None:
    from dataclasses import replace

    with pytest.raises(StructureError, match=words):
        replace(motion("H", np.zeros((3, 1, 3)), 5.0), **change)


def test_a_slab_gets_a_vector_across_and_a_periodic_direction_needs_one() -> None:
    cell = np.diag([4.0, 5.0, 0.0])
    slab = motion("H", np.zeros((2, 1, 3)), cell, pbc=(True, True, False))
    assert abs(np.linalg.det(slab.lattice[0])) == pytest.approx(20.0)
    with pytest.raises(StructureError, match="no cell vector"):
        _ = motion("H", np.zeros((2, 1, 3)), cell).lattice
