"""The temperature schedule against straight lines."""

import pytest
from md_toys import DYNAMICS, argons, wells

from bnnflow.errors import ConfigError
from bnnflow.md import propagate, start, temperature_at
from bnnflow.md.integrators import kinetic_temperature, make_integrator, set_target_temperature
from bnnflow.md.noise import generator_for
from bnnflow.records import Dynamics
from bnnflow.units import BAR, FS, GPA, KB

RAMP = ((0.0, 300.0), (100.0, 800.0), (300.0, 200.0))


@pytest.mark.parametrize(
    ("time_fs", "kelvin"),
    [(-5.0, 300.0), (0.0, 300.0), (25.0, 425.0), (100.0, 800.0), (200.0, 500.0), (1e9, 200.0)],
)
def test_temperature_follows_straight_lines(time_fs: float, kelvin: float) -> None:
    assert temperature_at(RAMP, time_fs) == pytest.approx(kelvin)


def test_one_corner_is_a_constant() -> None:
    assert temperature_at(((0.0, 310.0),), 123.0) == 310.0


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ((), "empty"),
        (((0.0, 300.0), (0.0, 400.0)), "rising"),
        (((10.0, 300.0), (5.0, 400.0)), "rising"),
        (((0.0, 0.0),), "above 0 K"),
        (((0.0, float("nan")),), "above 0 K"),
    ],
)
def test_bad_schedules_are_refused(schedule: tuple[tuple[float, float], ...], says: str) -> None:
    dynamics = Dynamics(kind="langevin", timestep_fs=1.0, temperature_schedule=schedule)
    with pytest.raises(ConfigError, match=says):
        start(argons(2), dynamics=dynamics, seed=1)


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "berendsen"},
        {"timestep_fs": 0.0},
        {"timestep_fs": float("nan")},
        {"friction_per_fs": -0.01},
        {"kind": "npt", "thermostat_time_fs": 0.0},
        {"kind": "npt", "barostat_factor_GPa_fs2": float("inf")},
    ],
)
def test_bad_dynamics_are_refused(change: dict[str, object]) -> None:
    settings = {"kind": "langevin", "timestep_fs": 1.0, "temperature_schedule": ((0.0, 300.0),)}
    dynamics = Dynamics(**(settings | change))
    with pytest.raises(ConfigError, match="expected"):
        start(argons(2), dynamics=dynamics, seed=1)
    good = start(argons(2), dynamics=DYNAMICS["langevin"], seed=1)
    with pytest.raises(ConfigError, match="expected"):
        propagate(predict=wells, checkpoint=good, dynamics=dynamics, n_steps=1, limit=1.0)


def test_thermostats_aim_at_the_schedule() -> None:
    dynamics = Dynamics(kind="langevin", timestep_fs=0.5, temperature_schedule=RAMP)
    integrator = make_integrator(argons(2).to_atoms(), dynamics, rng=generator_for(0))
    set_target_temperature(integrator, dynamics, step=100)
    assert integrator.temp == pytest.approx(550.0 * KB)
    assert integrator.fr * FS == pytest.approx(0.01)
    assert integrator.dt == pytest.approx(0.5 * FS)


def test_npt_has_the_published_settings_and_keeps_its_barostat_mass() -> None:
    """ttime 100 fs, pfactor 160 GPa * 0.1 * (75 fs)^2, 1 bar [METHOD 7]."""
    dynamics = Dynamics(kind="npt", timestep_fs=0.5, temperature_schedule=RAMP)
    atoms = argons(4).to_atoms()
    atoms.set_cell([20.0, 5.0, 5.0])
    integrator = make_integrator(atoms, dynamics, rng=generator_for(0))
    assert integrator.ttime == pytest.approx(100.0 * FS)
    assert integrator.pfactor_given == pytest.approx(160 * GPA * 0.1 * (75 * FS) ** 2)
    assert integrator.externalstress[:3] == pytest.approx(-BAR)
    before = integrator.pfact
    atoms.set_cell([40.0, 5.0, 5.0])
    set_target_temperature(integrator, dynamics, step=100)
    assert integrator.pfact == before
    assert integrator.temperature == pytest.approx(550.0 * KB)
    assert integrator.desiredEkin == pytest.approx(1.5 * 3 * 550.0 * KB)


def test_temperature_counts_the_moving_degrees_of_freedom() -> None:
    assert kinetic_temperature(1.5 * 6 * KB * 250.0, 7) == pytest.approx(250.0)
