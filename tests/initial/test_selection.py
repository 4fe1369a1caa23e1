"""Which candidates are chosen: against brute force and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk, molecule

from bnnflow.initial import environments, farthest_frames, most_uncertain
from bnnflow.records import Structure

RANDOM = np.random.default_rng(8)


def moved(structure: Structure, positions: np.ndarray, order: np.ndarray) -> Structure:
    return Structure(structure.numbers[order], positions[order], structure.cell, structure.pbc)


def test_environments_do_not_change_when_a_molecule_turns_or_like_atoms_swap() -> None:
    ethanol = Structure.from_atoms(molecule("CH3CH2OH"))
    turn = np.linalg.qr(RANDOM.standard_normal((3, 3)))[0]
    order = RANDOM.permutation(len(ethanol))
    other = moved(ethanol, ethanol.positions @ turn + 3.0, order)
    np.testing.assert_allclose(environments(other), environments(ethanol)[order], atol=1e-10)


def test_environments_of_a_crystal_are_those_of_its_repeated_cell() -> None:
    small = Structure.from_atoms(bulk("NaCl", "rocksalt", a=5.64))
    large = Structure.from_atoms(bulk("NaCl", "rocksalt", a=5.64) * (3, 2, 2))
    found = environments(large)
    for number, row in zip(small.numbers, environments(small), strict=True):
        same = found[large.numbers == number]
        np.testing.assert_allclose(same, np.broadcast_to(row, same.shape), atol=1e-10)


def test_an_environment_by_hand() -> None:
    """One neighbour at 2 Å: a Gaussian of the shells' half distance, times the fading function."""
    pair = Structure(np.array([1, 8]), np.array([[0.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    of_hydrogen, of_oxygen = environments(pair)
    centres = np.linspace(0.6, 5.0, 20)
    width = 0.5 * (centres[1] - centres[0])
    fade = 0.5 * (np.cos(np.pi * 2.0 / 5.0) + 1.0)
    expected = fade * np.exp(-((2.0 - centres) ** 2) / (2 * width**2))
    np.testing.assert_allclose(of_hydrogen, [*np.zeros(20), *expected], atol=1e-12)
    np.testing.assert_allclose(of_oxygen, [*expected, *np.zeros(20)], atol=1e-12)


def brute_force(candidates: np.ndarray, known: np.ndarray, numbers: np.ndarray, n: int) -> list:
    """The same rule, one environment and one pair at a time."""
    frames, chosen = [known], []
    for _ in range(n):
        novelty = []
        for frame in candidates:
            worst = 0.0
            for atom, row in enumerate(frame):
                nearest = min(
                    float(np.linalg.norm(row - other[place]))
                    for other in frames
                    for place in np.flatnonzero(numbers == numbers[atom])
                )
                worst = max(worst, nearest)
            novelty.append(worst)
        chosen.append(int(np.argmax(novelty)))
        frames.append(candidates[chosen[-1]])
    return chosen


def test_farthest_frames_are_those_of_brute_force() -> None:
    numbers = np.array([8, 1, 1, 1])
    candidates, known = RANDOM.standard_normal((30, 4, 6)), RANDOM.standard_normal((4, 6))
    found = farthest_frames(candidates, known, numbers, 12)
    assert list(found) == brute_force(candidates, known, numbers, 12)
    assert len(set(found)) == 12


def test_farthest_points_on_a_line() -> None:
    """From 0, of 0 to 10: first 10, then 5, then 2 or 7."""
    line = np.arange(11.0).reshape(11, 1, 1)
    found = farthest_frames(line, np.zeros((1, 1)), np.array([1]), 4)
    assert found[:2] == (10, 5) and found[2:] == (2, 7)


def test_copies_of_what_is_there_are_not_chosen() -> None:
    line = np.array([0.0, 3.0, 3.0, 0.0]).reshape(4, 1, 1)
    assert farthest_frames(line, np.zeros((1, 1)), np.array([1]), 4) == (1,)


def test_one_strange_atom_among_many_is_enough() -> None:
    """A frame in which all atoms move a little is less new than one in which one moves far."""
    numbers, known = np.ones(50, int), np.zeros((50, 2))
    candidates = np.full((2, 50, 2), 0.1)
    candidates[1] = 0.0
    candidates[1, 17] = 1.0
    assert farthest_frames(candidates, known, numbers, 1) == (1,)


def test_the_most_uncertain_frames_are_those_of_gaussian_conditioning() -> None:
    """Variances given the labels chosen so far, from the inverse of their covariance."""
    k, noise = 40, 0.3
    energies, first = RANDOM.standard_normal((25, k)) * np.linspace(1, 3, 25)[:, None], np.zeros(k)
    found = most_uncertain(energies, first, noise_std=noise, n_frames=8)
    covariance = np.cov(energies)
    chosen: list[int] = []
    for _ in range(8):
        variance = np.diag(covariance).copy()
        if chosen:
            among = covariance[np.ix_(chosen, chosen)] + noise**2 * np.eye(len(chosen))
            across = covariance[:, chosen]
            variance -= np.einsum("ij,ji->i", across, np.linalg.solve(among, across.T))
        variance[chosen] = -np.inf
        chosen.append(int(variance.argmax()))
    assert list(found) == chosen


def test_a_twin_of_a_chosen_frame_waits_for_what_is_new() -> None:
    deviation = np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.5, -0.5]])
    energies = np.stack([3 * deviation[0], 2.9 * deviation[0], deviation[1]])
    assert most_uncertain(energies, np.zeros(4), noise_std=0.01, n_frames=3) == (0, 2, 1)


def test_what_all_members_say_of_the_first_frame_tells_nothing() -> None:
    """Its label fixes each member's zero of energy, so a shift per member is no uncertainty."""
    shifts = RANDOM.standard_normal(6) * 100
    energies = np.stack([shifts, shifts + 0.1 * np.eye(6)[5]])
    assert most_uncertain(energies, shifts, noise_std=0.01, n_frames=1) == (1,)


@pytest.mark.parametrize("n_frames", [0, 3, 9])
def test_no_more_than_there_are(n_frames: int) -> None:
    energies = RANDOM.standard_normal((3, 5))
    found = most_uncertain(energies, np.zeros(5), noise_std=0.1, n_frames=n_frames)
    assert len(found) == len(set(found)) == min(3, n_frames)
