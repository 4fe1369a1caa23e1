"""Distances against brute force over images, ASE's neighbour list and known crystals."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from motions import SKEWED, motion, still, wrapped

from bnnflow.analysis.motion import periodic


def shortest(vector: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> float:
    """Of all images up to six cells away."""
    ranges = [range(-6, 7) if along else (0,) for along in pbc]
    return min(float(np.linalg.norm(vector + np.array(n) @ cell)) for n in product(*ranges))


@pytest.mark.parametrize(
    "pbc", [(True, True, True), (True, True, False), (False, True, False), (False, False, False)]
)
def test_minimum_image_is_the_shortest_of_all(pbc: tuple[bool, bool, bool]) -> None:
    rng = np.random.default_rng(1)
    cells = SKEWED + rng.normal(scale=0.2, size=(5, 3, 3))
    vectors = rng.normal(scale=4.0, size=(5, 8, 3))
    along = np.array(pbc)
    found = np.linalg.norm(periodic.minimum_image(vectors, cells, along), axis=2)
    wanted = [
        [shortest(v, cell, along) for v in row] for row, cell in zip(vectors, cells, strict=True)
    ]
    assert found == pytest.approx(np.array(wanted), abs=1e-10)


def test_wrapping_alone_misses_near_images_of_a_skewed_cell() -> None:
    vectors, cells = np.random.default_rng(1).normal(scale=4.0, size=(1, 50, 3)), SKEWED[None]
    along = np.ones(3, dtype=bool)
    folded = np.linalg.norm(periodic.wrapped(vectors, cells, along), axis=2)
    nearest = np.linalg.norm(periodic.minimum_image(vectors, cells, along), axis=2)
    assert np.any(folded > nearest + 0.1) and np.all(folded > nearest - 1e-12)


def test_minimum_image_in_a_box_of_right_angles() -> None:
    vectors = np.array([[[4.9, -5.1, 0.0], [10.0, 14.0, 26.0]]])
    found = periodic.minimum_image(vectors, np.diag([10.0, 10.0, 20.0])[None], np.ones(3, bool))
    assert found == pytest.approx(np.array([[[4.9, 4.9, 0.0], [0.0, 4.0, 6.0]]]))


def test_distances_of_every_pair_equal_ase() -> None:
    rng = np.random.default_rng(2)
    atoms = Atoms("H3S4", rng.normal(scale=3.0, size=(7, 3)), cell=SKEWED, pbc=True)
    found = periodic.distances(still(atoms), np.arange(3), np.arange(3, 7))
    wanted = atoms.get_all_distances(mic=True)[:3, 3:]
    assert found == pytest.approx(np.array([wanted, wanted]))


@pytest.mark.parametrize("reach", [1.0, 2.9, 6.5])
@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True)])
def test_neighbours_equal_ase_also_among_images(reach: float, pbc: tuple[bool, bool, bool]) -> None:
    rng = np.random.default_rng(3)
    atoms = Atoms("OH2", rng.uniform(-5.0, 5.0, size=(3, 3)), cell=SKEWED, pbc=pbc)
    all_atoms = np.arange(3)
    vectors = next(periodic.neighbour_vectors(still(atoms), all_atoms, all_atoms, reach))[0]
    for atom in range(3):
        lengths = np.linalg.norm(vectors[atom], axis=1)
        wanted = neighbor_list("id", atoms, reach)
        wanted = np.sort(wanted[1][wanted[0] == atom])
        assert np.sort(lengths[lengths < reach]) == pytest.approx(wanted)


def test_neighbours_come_in_stretches_of_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    given, pair = still(atoms, 7), (np.array([0]), np.array([1]))
    whole = np.concatenate(list(periodic.neighbour_vectors(given, *pair, 3.0)))
    monkeypatch.setattr(periodic, "MOST_NUMBERS", 3 * whole.shape[2] * 2)
    parts = list(periodic.neighbour_vectors(given, *pair, 3.0))
    assert [len(part) for part in parts] == [2, 2, 2, 1]
    assert np.array_equal(np.concatenate(parts), whole)


def test_shells_of_fcc_in_a_cell_of_one_atom() -> None:
    copper = still(bulk("Cu", "fcc", a=4.0))
    vectors = next(periodic.neighbour_vectors(copper, np.array([0]), np.array([0]), 5.0))[0, 0]
    lengths = np.sort(np.linalg.norm(vectors, axis=1))
    for place, count, before in [(8**0.5, 12, 0), (4.0, 6, 12), (24**0.5, 24, 18)]:
        assert lengths[before : before + count] == pytest.approx(place)


def test_displacements_do_not_care_whether_positions_are_wrapped() -> None:
    rng = np.random.default_rng(4)
    paths = np.cumsum(rng.normal(scale=0.15, size=(400, 5, 3)), axis=0)
    free = motion("H", paths, SKEWED)
    folded = motion("H", wrapped(free), SKEWED)
    assert np.abs(folded.positions - paths).max() > 1.0
    assert periodic.displacements(free) == pytest.approx(paths - paths[0])
    assert periodic.displacements(folded) == pytest.approx(paths - paths[0])


def test_atoms_that_only_follow_the_cell_are_not_displaced() -> None:
    rng = np.random.default_rng(5)
    cells = SKEWED * (1.0 + 0.05 * np.sin(np.arange(50.0)))[:, None, None]
    places = rng.uniform(-3.0, 3.0, size=(4, 3)) @ cells
    assert np.abs(np.diff(places, axis=0)).max() > 0.3
    assert periodic.displacements(motion("H", places, cells)) == pytest.approx(0.0, abs=1e-12)


def test_displacements_in_a_changing_cell_integrate_the_peculiar_velocity() -> None:
    """s = u t and an edge L = L0 + c t give the integral u (L0 t + c t^2 / 2)."""
    time, u, start, growth = np.arange(2001) * 0.01, 0.13, 10.0, 0.2
    edges = start + growth * time
    places = np.zeros((2001, 1, 3))
    places[:, 0, 0] = u * time * edges
    cells = edges[:, None, None] * np.eye(3)
    found = periodic.displacements(motion("H", places, cells))
    assert found[:, 0, 0] == pytest.approx(u * (start * time + growth * time**2 / 2))
