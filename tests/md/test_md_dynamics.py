"""The integrators against closed forms of mechanics and statistics."""

import numpy as np
import pytest
from ase.build import bulk
from md_toys import (
    DYNAMICS,
    SPRING,
    argons,
    copper,
    copper_emt,
    prediction_of,
    well_centres,
    wells,
)
from scipy.optimize import brentq

from bnnflow.errors import ConfigError
from bnnflow.md import propagate, start
from bnnflow.records import Dynamics, Outcome, Segment, Structure
from bnnflow.units import BAR, FS, KB

KELVIN = 300.0


def drive(
    structure: Structure, predict: object, dynamics: Dynamics, n_steps: int, seed: int = 1
) -> Segment:
    return propagate(
        predict=predict,
        checkpoint=start(structure, dynamics=dynamics, seed=seed),
        dynamics=dynamics,
        n_steps=n_steps,
        limit=np.inf,
    )


def verlet_energy_error(timestep_fs: float) -> float:
    dynamics = Dynamics(
        kind="verlet", timestep_fs=timestep_fs, temperature_schedule=((0.0, KELVIN),)
    )
    segment = drive(argons(3), wells, dynamics, n_steps=round(960 / timestep_fs))
    total = segment.energy + segment.kinetic
    return float(np.std(total))


def test_verlet_conserves_energy_to_second_order() -> None:
    coarse, fine = verlet_energy_error(8.0), verlet_energy_error(4.0)
    assert coarse / fine == pytest.approx(4.0, rel=0.1)


def test_verlet_follows_the_harmonic_solution() -> None:
    """x(t) = v0/w sin(w t) from rest at the wells' centres, and w² = k/m."""
    dynamics = Dynamics(kind="verlet", timestep_fs=1.0, temperature_schedule=((0.0, KELVIN),))
    begin = start(argons(2), dynamics=dynamics, seed=1)
    segment = propagate(
        predict=wells, checkpoint=begin, dynamics=dynamics, n_steps=200, limit=np.inf
    )
    omega = np.sqrt(SPRING / argons(2).to_atoms().get_masses()[0])
    time = segment.steps[:, np.newaxis, np.newaxis] * FS
    exact = begin.velocities / omega * np.sin(omega * time)
    away = segment.positions - well_centres(2)
    np.testing.assert_allclose(away, exact, atol=2e-3 * np.abs(exact).max())


def test_langevin_reaches_equipartition() -> None:
    """kT/2 in each of the 3N - 3 moving degrees of freedom, kinetic and potential.

    A well's variance is kT/k (1 - 1/N), for the mean of all N displacements does not move.
    The statistical error of each mean is about 1 %: 63 modes, 6000 fs, 50 fs apart.
    """
    n_atoms, n_modes = 22, 63
    dynamics = Dynamics(
        kind="langevin",
        timestep_fs=4.0,
        temperature_schedule=((0.0, KELVIN),),
        friction_per_fs=0.02,
    )
    segment = drive(argons(n_atoms), wells, dynamics, n_steps=2000)
    warm = slice(500, None)
    away = segment.positions[warm] - well_centres(n_atoms)
    away -= away.mean(axis=1, keepdims=True)
    spread = float(np.mean(np.sum(away**2, axis=(1, 2)))) / n_modes
    assert np.mean(segment.temperature[warm]) == pytest.approx(KELVIN, rel=0.04)
    assert spread == pytest.approx(KB * KELVIN / SPRING, rel=0.06)


@pytest.mark.parametrize("friction_per_fs", [0.004, 0.05])
def test_langevin_friction_slows_free_atoms_down(friction_per_fs: float) -> None:
    """Without forces and noise v(t) = v0 exp(-friction t); the scheme is of second order."""
    warm = start(argons(4), dynamics=DYNAMICS["langevin"], seed=1)
    cold = Dynamics(
        kind="langevin",
        timestep_fs=0.5,
        temperature_schedule=((0.0, 1e-15),),
        friction_per_fs=friction_per_fs,
    )
    segment = propagate(
        predict=lambda structure: prediction_of(0.0, np.zeros((len(structure), 3))),
        checkpoint=warm,
        dynamics=cold,
        n_steps=80,
        limit=np.inf,
    )
    slower = np.exp(-friction_per_fs * 40.0)
    np.testing.assert_allclose(segment.checkpoint.velocities, slower * warm.velocities, rtol=1e-4)


def test_langevin_follows_a_ramp() -> None:
    dynamics = Dynamics(
        kind="langevin",
        timestep_fs=4.0,
        temperature_schedule=((0.0, 300.0), (1000.0, 300.0), (2000.0, 900.0)),
        friction_per_fs=0.05,
    )
    segment = drive(argons(20), wells, dynamics, n_steps=800)
    assert np.mean(segment.temperature[:250]) == pytest.approx(300.0, rel=0.15)
    assert np.mean(segment.temperature[550:]) == pytest.approx(900.0, rel=0.15)


def test_the_centre_of_mass_stands_still() -> None:
    segment = drive(argons(4), wells, DYNAMICS["langevin"], n_steps=50)
    centre = segment.positions.mean(axis=1)
    np.testing.assert_allclose(centre, np.broadcast_to([7.5, 0.0, 0.0], (50, 3)), atol=1e-10)


def copper_volume(pressure_bar: float) -> float:
    """Mean volume in NPT at 50 K, cold enough to stand beside the static lattice."""
    dynamics = Dynamics(
        kind="npt",
        timestep_fs=4.0,
        temperature_schedule=((0.0, 50.0),),
        pressure_bar=pressure_bar,
        thermostat_time_fs=50.0,
    )
    segment = drive(copper(), copper_emt, dynamics, n_steps=200)
    assert np.mean(segment.temperature[100:]) == pytest.approx(50.0, rel=0.15)
    return float(np.mean(np.linalg.det(segment.cells[100:])))


def static_volume(pressure_bar: float) -> float:
    """Volume at which EMT's static lattice has this pressure."""

    def excess(edge: float) -> float:
        lattice = Structure.from_atoms(bulk("Cu", cubic=True, a=edge))
        stress = copper_emt(lattice).stress
        assert stress is not None
        return -float(np.mean(stress[:3])) - pressure_bar * BAR

    return float(brentq(excess, 3.4, 3.8)) ** 3


def test_npt_compresses_as_the_lattice_does() -> None:
    """5 GPa take 3.4 % of EMT copper's volume."""
    static = 1.0 - static_volume(50_000.0) / static_volume(1.0)
    moving = 1.0 - copper_volume(50_000.0) / copper_volume(1.0)
    assert static == pytest.approx(0.034, abs=0.001)
    assert moving == pytest.approx(static, abs=0.003)


def test_npt_without_stress_is_refused() -> None:
    with pytest.raises(ConfigError, match="need a stress"):
        structure = argons(4)
        boxed = Structure(
            structure.numbers, structure.positions, cell=20.0 * np.eye(3), pbc=np.ones(3, bool)
        )
        drive(boxed, wells, DYNAMICS["npt"], n_steps=1)


def test_a_segment_holds_every_step() -> None:
    segment = drive(argons(4), wells, DYNAMICS["langevin"], n_steps=7)
    assert segment.outcome is Outcome.FINISHED
    assert segment.frame is None and segment.prediction is None
    np.testing.assert_array_equal(segment.steps, np.arange(1, 8))
    assert segment.positions.shape == (7, 4, 3) and segment.cells.shape == (7, 3, 3)
    assert segment.seconds > 0.0 and segment.host
    for positions, energy in zip(segment.positions, segment.energy, strict=True):
        assert wells(Structure(argons(4).numbers, positions)).energy == energy
    last = segment.checkpoint
    assert last.step == 7
    np.testing.assert_array_equal(last.structure.positions, segment.positions[-1])


def test_no_steps_only_evaluate_the_start() -> None:
    segment = drive(argons(4), wells, DYNAMICS["langevin"], n_steps=0)
    assert segment.positions.shape == (0, 4, 3)
    assert segment.checkpoint.step == 0
    assert segment.checkpoint.forcing is not None
