"""Frames: reproducible from their seed, whole molecules, and labels that belong to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule

from bnnflow.training.molecules import ALCOHOLS, TRAINING, Pair, Single

pytest.importorskip("tblite")
from bnnflow.training.frames import Plan, gfn2, is_whole, labelled, sample, split

WATER = Single("water", "H2O")
SHORT = Plan(temperatures_k=(300.0,), frames_per_trajectory=4, spacing_fs=5.0, equilibration_fs=5.0)


def test_same_seed_same_frames_another_seed_others() -> None:
    first, again = (sample([WATER], SHORT)[0] for _ in range(2))
    other = sample([WATER], replace(SHORT, seed=1))[0]
    np.testing.assert_array_equal(first[-1].positions, again[-1].positions)
    assert not np.allclose(first[-1].positions, other[-1].positions)


def test_frames_of_a_molecule_do_not_depend_on_the_others() -> None:
    alone = sample([WATER], SHORT)[0]
    among = sample([Single("ammonia", "NH3"), WATER], SHORT)[1]
    np.testing.assert_array_equal(alone[0].positions, among[0].positions)


def test_labels_are_those_of_the_frame() -> None:
    frame = sample([WATER], SHORT)[0][2]
    check = frame.copy()
    check.calc = gfn2()
    assert frame.info["REF_energy"] == pytest.approx(check.get_potential_energy(), abs=1e-5)
    np.testing.assert_allclose(frame.arrays["REF_forces"], check.get_forces(), atol=1e-4)


def test_a_label_is_a_copy() -> None:
    atoms = molecule("H2O")
    atoms.calc = gfn2()
    frame = labelled(atoms)
    atoms.positions += 1.0
    assert not np.allclose(frame.positions, atoms.positions)


def test_a_broken_bond_and_a_lost_partner_are_seen() -> None:
    water = molecule("H2O")
    broken = water.copy()
    broken.positions[1] *= 3.0
    assert is_whole(water, water)
    assert not is_whole(broken, water)
    pair = Pair("water dimer", "H2O", "H2O").build()
    parted = pair.copy()
    parted.positions[3:] += (3.0, 0.0, 0.0)
    assert not is_whole(parted, pair)


def test_every_twentieth_frame_of_a_trajectory_is_for_validation() -> None:
    trajectories = [[molecule("H2O")] * 40, [molecule("NH3")] * 20]
    training, validation = split(trajectories)
    assert len(training) == 57
    assert [len(frame) for frame in validation] == [3, 3, 4]


def test_alcohols_give_twice_as_many_frames() -> None:
    counts = {recipe.name: Plan().count(recipe) for recipe in TRAINING}
    assert set(counts) >= ALCOHOLS
    assert {counts[name] for name in ALCOHOLS} == {2 * counts["water"]}
