"""A run that stops and goes on, in another process, is the run that never stopped."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import md_toys
import numpy as np
import pytest
from md_toys import (
    DYNAMICS,
    SYSTEMS,
    argons,
    assert_same_checkpoint,
    copper,
    well_centres,
    wells,
)

from bnnflow import codec
from bnnflow.errors import ConfigError, RunFolderError
from bnnflow.md import propagate, start
from bnnflow.md.walker import Walker
from bnnflow.records import Checkpoint, Segment, Structure
from bnnflow.units import FS


def advance(kind: str, checkpoint: Checkpoint, n_steps: int) -> Segment:
    return propagate(
        predict=SYSTEMS[kind][1],
        checkpoint=checkpoint,
        dynamics=DYNAMICS[kind],
        n_steps=n_steps,
        limit=np.inf,
    )


def advance_elsewhere(kind: str, checkpoint: Checkpoint, n_steps: int, folder: Path) -> Segment:
    begin, end = folder / "begin.h5", folder / "end.h5"
    codec.save_record(begin, checkpoint)
    command = [sys.executable, md_toys.__file__, kind, str(begin), str(end), str(n_steps)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    return codec.load_record(end, Segment)


@pytest.mark.parametrize("kind", sorted(SYSTEMS))
def test_37_and_63_steps_elsewhere_are_100_steps(kind: str, tmp_path: Path) -> None:
    begin = start(SYSTEMS[kind][0](), dynamics=DYNAMICS[kind], seed=5)
    whole = advance(kind, begin, 100)
    first = advance(kind, begin, 37)
    second = advance_elsewhere(kind, first.checkpoint, 63, tmp_path)
    assert_same_checkpoint(whole.checkpoint, second.checkpoint)
    for name in ("steps", "energy", "energy_std", "kinetic", "temperature", "positions", "cells"):
        parts = np.concatenate([getattr(first, name), getattr(second, name)])
        np.testing.assert_array_equal(getattr(whole, name), parts)


@pytest.mark.parametrize("kind", sorted(SYSTEMS))
def test_a_segment_leaves_its_checkpoint_as_it_was(kind: str) -> None:
    begin = start(SYSTEMS[kind][0](), dynamics=DYNAMICS[kind], seed=5)
    middle = advance(kind, begin, 5).checkpoint
    first, again = advance(kind, middle, 5), advance(kind, middle, 5)
    assert_same_checkpoint(first.checkpoint, again.checkpoint)


def test_one_kind_of_dynamics_follows_another() -> None:
    copper, emt = SYSTEMS["npt"]
    checkpoint = start(copper(), dynamics=DYNAMICS["npt"], seed=5)
    for kind in ("npt", "langevin", "npt", "verlet"):
        segment = propagate(
            predict=emt, checkpoint=checkpoint, dynamics=DYNAMICS[kind], n_steps=5, limit=np.inf
        )
        checkpoint = segment.checkpoint
        assert bool(checkpoint.integrator) is (kind == "npt")
    assert checkpoint.step == 20
    assert np.all(np.isfinite(checkpoint.velocities))


def test_equilibration_is_langevin_and_what_follows_is_not() -> None:
    """50 steps with the noise of a Langevin run, then total energy is kept and no noise drawn."""
    both, langevin = DYNAMICS["langevin then verlet"], DYNAMICS["langevin"]
    begin = start(argons(4), dynamics=both, seed=5)
    assert_same_checkpoint(
        propagate(
            predict=wells, checkpoint=begin, dynamics=both, n_steps=50, limit=np.inf
        ).checkpoint,
        propagate(
            predict=wells, checkpoint=begin, dynamics=langevin, n_steps=50, limit=np.inf
        ).checkpoint,
    )
    whole = advance("langevin then verlet", begin, 200)
    total = whole.energy + whole.kinetic
    assert np.ptp(total[:50]) > 20 * np.ptp(total[50:])
    middle = advance("langevin then verlet", begin, 50).checkpoint
    assert middle.rng == whole.checkpoint.rng


def test_npt_after_equilibration_is_npt_from_there() -> None:
    both = DYNAMICS["langevin then npt"]
    middle = advance("langevin then npt", start(copper(), dynamics=both, seed=5), 37).checkpoint
    assert not middle.integrator
    assert_same_checkpoint(
        advance("langevin then npt", middle, 10).checkpoint, advance("npt", middle, 10).checkpoint
    )


@pytest.mark.parametrize("time_fs", [0.0, -1.0, np.nan])
def test_an_equilibration_that_never_begins_is_refused(time_fs: float) -> None:
    dynamics = replace(DYNAMICS["verlet"], equilibration_fs=time_fs)
    with pytest.raises(ConfigError, match="equilibration_fs"):
        start(argons(4), dynamics=dynamics, seed=5)


def test_npt_begins_anew_when_its_time_step_changes() -> None:
    """Half the step is half the distance, not a state of two time levels misread."""
    middle = advance("npt", start(SYSTEMS["npt"][0](), dynamics=DYNAMICS["npt"], seed=5), 5)
    halved = replace(DYNAMICS["npt"], timestep_fs=0.5 * DYNAMICS["npt"].timestep_fs)
    segment = propagate(
        predict=SYSTEMS["npt"][1],
        checkpoint=middle.checkpoint,
        dynamics=halved,
        n_steps=1,
        limit=np.inf,
    )
    moved = segment.positions[0] - middle.checkpoint.structure.positions
    expected = middle.checkpoint.velocities * halved.timestep_fs * FS
    np.testing.assert_allclose(moved, expected, atol=0.1 * np.abs(expected).max())


def test_momenta_are_restored_to_the_last_bit() -> None:
    """p / m * m is not always p, least of all for carbon and argon."""
    chain = Structure(numbers=np.array([6, 18, 6, 18, 6, 18]), positions=well_centres(6))
    begin = start(chain, dynamics=DYNAMICS["langevin"], seed=5)
    begin = propagate(
        predict=wells, checkpoint=begin, dynamics=DYNAMICS["langevin"], n_steps=0, limit=np.inf
    ).checkpoint
    walker = Walker.restore(begin, dynamics=DYNAMICS["langevin"], predict=wells)
    for _ in range(5):
        walker.advance()
        again = Walker.restore(walker.checkpoint(), dynamics=DYNAMICS["langevin"], predict=wells)
        np.testing.assert_array_equal(again.atoms.get_momenta(), walker.atoms.get_momenta())
        assert again.atoms.get_kinetic_energy() == walker.atoms.get_kinetic_energy()


def test_a_damaged_noise_stream_is_refused() -> None:
    begin = start(SYSTEMS["langevin"][0](), dynamics=DYNAMICS["langevin"], seed=5)
    for rng in ({}, {"bit_generator": "MT19937", "state": {}}):
        with pytest.raises(RunFolderError, match="noise stream"):
            advance("langevin", replace(begin, rng=rng), 1)
