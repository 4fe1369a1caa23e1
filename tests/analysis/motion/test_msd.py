"""Mean squared displacements against direct sums, random walks and straight flight."""

from __future__ import annotations

import numpy as np
import pytest
from motions import SKEWED, motion, random_walk, wrapped

from bnnflow.analysis.motion.correlation import autocorrelation, circular_sums
from bnnflow.analysis.motion.msd import (
    diffusion,
    mean_squared_displacement,
    without_drift,
)
from bnnflow.errors import ConfigError

D = 0.004
"""Å²/fs."""


def test_fast_sums_equal_the_double_loop() -> None:
    paths = random_walk(57, 3, diffusion=D, seed=1) + 1000.0
    direct = [0.0]
    for lag in range(1, 57):
        apart = paths[lag:] - paths[:-lag]
        direct.append(float(np.mean(np.sum(apart**2, axis=2))))
    assert mean_squared_displacement(paths) == pytest.approx(np.array(direct), rel=1e-9)


def test_many_atoms_are_summed_in_parts() -> None:
    paths = random_walk(20, 70, diffusion=D, seed=2)
    each = [mean_squared_displacement(paths[:, [atom]]) for atom in range(70)]
    assert mean_squared_displacement(paths) == pytest.approx(np.mean(each, axis=0))


def test_autocorrelation_equals_the_direct_sum() -> None:
    series = np.random.default_rng(3).normal(size=(31, 2))
    direct = [np.mean(series[lag:] * series[: 31 - lag], axis=0) for lag in range(31)]
    assert autocorrelation(series) == pytest.approx(np.array(direct), abs=1e-12)


@pytest.mark.parametrize("m", [8, 9])
def test_circular_sums_equal_the_direct_sum(m: int) -> None:
    weights, series = np.random.default_rng(4).normal(size=(2, m))
    direct = [float(np.sum(weights * np.roll(series, -shift))) for shift in range(m)]
    assert circular_sums(weights, series) == pytest.approx(np.array(direct))


def test_random_walk_has_its_diffusion_coefficient() -> None:
    found = diffusion(motion("H", random_walk(3000, 200, diffusion=D, seed=5), 20.0), "H")
    value, error = float(found.coefficient.value), float(found.coefficient.error)
    assert value == pytest.approx(D, rel=0.03)
    assert abs(value - D) < 4 * error
    short = slice(1, 50)
    assert found.msd[short] == pytest.approx(6 * D * found.lags[short], rel=0.015)


def test_error_bar_of_the_coefficient_is_true_to_size() -> None:
    """Over many walks (value - D) / error has the spread of Student's t with 4 degrees, 1.41."""
    walks = [
        diffusion(motion("H", random_walk(1000, 12, diffusion=D, seed=seed), 20.0), "H").coefficient
        for seed in range(100, 220)
    ]
    values = np.array([float(walk.value) for walk in walks])
    errors = np.array([float(walk.error) for walk in walks])
    corrected = values * 12 / 11  # the drift of twelve atoms is taken out with one twelfth of D
    assert np.mean(corrected) == pytest.approx(D, rel=0.04)
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(np.std(values), rel=0.25)
    assert np.mean(np.abs(corrected - D) < 2.776 * errors) == pytest.approx(0.95, abs=0.06)


def test_coefficient_does_not_depend_on_time_step_or_wrapping() -> None:
    walk = random_walk(600, 20, diffusion=D, seed=6, timestep=1.5)
    free = motion("H", walk, SKEWED * 5, timestep=1.5)
    folded = motion("H", wrapped(free), SKEWED * 5, timestep=1.5)
    one, other = (diffusion(m, "H", window=(9.0, 60.0)) for m in (free, folded))
    assert float(one.coefficient.value) == pytest.approx(float(other.coefficient.value))
    assert float(one.coefficient.value) == pytest.approx(D, rel=0.15)
    assert one.window == (9.0, 60.0)


def test_free_flight_grows_with_the_square_of_time() -> None:
    rng = np.random.default_rng(7)
    velocities = rng.normal(scale=0.01, size=(6, 3))
    velocities -= velocities.mean(axis=0)
    time = np.arange(100.0)
    paths = velocities * time[:, None, None]
    found = diffusion(motion("H", paths, 30.0), "H")
    assert found.msd == pytest.approx(np.mean(np.sum(velocities**2, axis=1)) * time**2)


def test_motion_of_the_centre_of_mass_is_taken_out() -> None:
    walk = random_walk(50, 2, diffusion=D, seed=8)
    drift = np.array([0.3, -0.1, 0.2]) * np.arange(50)[:, None, None]
    found = without_drift(motion(["H", "O"], walk + drift, 40.0))
    still = without_drift(motion(["H", "O"], walk, 40.0))
    assert found == pytest.approx(still, abs=1e-10)
    masses = np.array([1.008, 15.999])
    assert np.einsum("mnx,n->mx", found, masses) == pytest.approx(0.0, abs=1e-10)


def test_a_breathing_crystal_does_not_diffuse() -> None:
    edges = 10.0 + np.sin(0.1 * np.arange(500.0))
    places = np.random.default_rng(9).uniform(-5, 15, size=(8, 3)) * edges[:, None, None] / 10
    found = diffusion(motion("O", places, edges[:, None, None] * np.eye(3)), "O")
    assert found.msd == pytest.approx(0.0, abs=1e-9)
    assert float(found.coefficient.value) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("window", "blocks"), [((5.0, 400.0), 5), ((5.0, 5.2), 5), ((5.0, 50.0), 1)]
)
def test_a_fit_that_does_not_fit_is_refused(window: tuple[float, float], blocks: int) -> None:
    found = motion("H", random_walk(500, 1, diffusion=D, seed=1), 10.0)
    with pytest.raises(ConfigError, match=f"fit from 5 to {window[1]:g} fs in {blocks} blocks"):
        diffusion(found, "H", window=window, blocks=blocks)
