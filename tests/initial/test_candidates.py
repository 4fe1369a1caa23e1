"""Candidates for the initial data: displacements and strains of the sizes asked for, MD at its
temperature, and nothing that a guard stands against."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, fcc111, molecule
from md_toys import SPRING, prediction_of, well_centres, wells

from bnnflow.initial import explore, rattled, strained
from bnnflow.md import propagate, start
from bnnflow.records import (
    Dynamics,
    ExploreRequest,
    Guards,
    PotentialSpec,
    Prediction,
    Source,
    SourceKind,
    Structure,
)
from bnnflow.units import KB

SILICON = Structure.from_atoms(bulk("Si") * (3, 3, 3))
APART = Structure(np.full(8, 18), well_centres(8))
DYNAMICS = Dynamics("langevin", 2.0, ((0.0, 600.0),), friction_per_fs=0.05)


def request(structure: Structure, source: Source, **guards: float) -> ExploreRequest:
    return ExploreRequest(
        PotentialSpec("toy"), structure, source, DYNAMICS, Guards(**guards), energy_std_floor=0.1
    )


def hot(n_frames: int = 10, n_steps: int = 200, seed: int = 3) -> Source:
    return Source(SourceKind.MD, n_frames, seed, kelvin=600.0, n_steps=n_steps)


def quiet(structure: Structure) -> Prediction:
    return prediction_of(0.0, np.zeros((len(structure), 3)))


def test_rattled_copies_move_by_the_std_asked_for() -> None:
    source = Source(SourceKind.RATTLED, 200, seed=1, rattle=0.07)
    moves = np.stack([copy.positions - SILICON.positions for copy in rattled(SILICON, source)])
    n = moves.size
    assert np.std(moves) == pytest.approx(0.07, rel=5 / np.sqrt(2 * n))
    assert np.mean(moves) == pytest.approx(0.0, abs=5 * 0.07 / np.sqrt(n))


def tensor(structure: Structure, strained_cell: np.ndarray) -> np.ndarray:
    """The strain that took one cell to the other."""
    return np.linalg.solve(structure.cell, strained_cell) - np.eye(3)


def test_strains_are_symmetric_and_of_the_sizes_asked_for() -> None:
    """The largest principal strain of the i-th of n copies is i/n of the one asked for."""
    source = Source(SourceKind.STRAINED, 6, seed=1, strain=0.03)
    strains = [tensor(SILICON, copy.cell) for copy in strained(SILICON, source)]
    for number, strain in enumerate(strains, start=1):
        np.testing.assert_allclose(strain, strain.T, atol=1e-12)
        assert np.abs(np.linalg.eigvalsh(strain)).max() == pytest.approx(0.03 * number / 6)
    assert {np.sign(np.trace(strain)) for strain in strains} == {-1.0, 1.0}


def test_atoms_go_with_the_cell() -> None:
    (copy,) = strained(SILICON, Source(SourceKind.STRAINED, 1, seed=2, strain=0.05))
    scaled = [each.positions @ np.linalg.inv(each.cell) for each in (SILICON, copy)]
    np.testing.assert_allclose(scaled[1], scaled[0], atol=1e-12)
    (moved,) = strained(SILICON, Source(SourceKind.STRAINED, 1, seed=2, strain=0.05, rattle=0.1))
    assert np.array_equal(moved.cell, copy.cell)
    assert np.std(moved.positions - copy.positions) == pytest.approx(0.1, rel=0.3)


def test_directions_that_are_not_periodic_are_not_strained() -> None:
    slab = Structure.from_atoms(fcc111("Al", (2, 2, 3), vacuum=6.0))
    assert slab.pbc.tolist() == [True, True, False]
    (copy,) = strained(slab, Source(SourceKind.STRAINED, 1, seed=2, strain=0.04))
    strain = tensor(slab, copy.cell)
    np.testing.assert_allclose(strain[:, 2], 0.0, atol=1e-12)
    np.testing.assert_allclose(copy.positions[:, 2], slab.positions[:, 2], atol=1e-12)
    assert np.abs(np.linalg.eigvalsh(strain)).max() == pytest.approx(0.04)


def test_md_frames_are_evenly_spaced_along_one_trajectory() -> None:
    found = explore(request(APART, hot(n_frames=7, n_steps=50)), wells)
    assert (len(found.frames), found.left_out, found.why) == (7, 0, "")
    whole = propagate(
        predict=wells,
        checkpoint=start(APART, dynamics=DYNAMICS, seed=3),
        dynamics=DYNAMICS,
        n_steps=50,
        limit=np.inf,
    )
    rows = [round(50 * (frame + 1) / 7) - 1 for frame in range(7)]
    for frame, row in zip(found.frames, rows, strict=True):
        np.testing.assert_allclose(frame.positions, whole.positions[row], atol=1e-10)


def test_md_has_the_temperature_of_its_source() -> None:
    """In harmonic wells the mean square displacement is k_B T / spring, by coordinate."""
    found = explore(request(APART, hot(n_frames=300, n_steps=15000)), wells)
    away = np.stack([each.positions for each in found.frames[30:]]) - well_centres(8)
    away -= away.mean(axis=1, keepdims=True)  # the walker starts without drift
    assert np.mean(away**2) == pytest.approx(KB * 600.0 / SPRING * 7 / 8, rel=0.1)


def test_the_same_seed_makes_the_same_frames_and_another_seed_others() -> None:
    one, same, other = (explore(request(APART, hot(seed=seed)), wells) for seed in (3, 3, 4))
    for left, right, third in zip(one.frames, same.frames, other.frames, strict=True):
        assert np.array_equal(left.positions, right.positions)
        assert not np.allclose(left.positions, third.positions)


def test_frames_near_a_limit_are_left_out() -> None:
    """Of two atoms 1 Å apart those rattled to within 0.62/0.75 Å, and only those, are left out."""
    hydrogen = Structure(np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    source = Source(SourceKind.RATTLED, 100, seed=5, rattle=0.15)
    made = rattled(hydrogen, source)
    lengths = np.array([np.linalg.norm(copy.positions[1] - copy.positions[0]) for copy in made])
    calm = lengths >= 0.62 / 0.75
    assert 0 < calm.sum() < 100
    found = explore(request(hydrogen, source, distance=1 - 1e-9), quiet)
    assert [np.array_equal(a.positions, made[b].positions) for a, b in zip(
        found.frames, np.flatnonzero(calm), strict=True)] == [True] * int(calm.sum())  # fmt: skip
    assert found.left_out == 100 - calm.sum() and "guard" in found.why


def test_frames_with_nonsensical_forces_are_left_out() -> None:
    def pulled(structure: Structure) -> Prediction:
        return prediction_of(0.0, np.full((len(structure), 3), 45.0))

    water = Structure.from_atoms(molecule("H2O"))
    source = Source(SourceKind.RATTLED, 4, seed=5, rattle=0.01)
    found = explore(request(water, source), pulled)
    assert (len(found.frames), found.left_out) == (0, 4) and "guard" in found.why
    broken = explore(request(water, source), lambda each: prediction_of(np.nan, each.positions))
    assert (len(broken.frames), broken.left_out) == (0, 4)


def test_md_that_a_guard_stops_keeps_the_frames_before() -> None:
    """One evaluation before the first step and one per step: the 61st is in the third stretch."""
    calls = 0

    def once(structure: Structure) -> Prediction:
        nonlocal calls
        calls += 1
        return prediction_of(0.0, np.full((len(structure), 3), 60.0 if calls == 61 else 0.0))

    found = explore(request(APART, hot(n_frames=10, n_steps=200)), once)
    assert (len(found.frames), found.left_out) == (2, 8)
    assert found.why == "MD was stopped by a guard"
