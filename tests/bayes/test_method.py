"""A few steps of the sampler against METHOD 3 written out in numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bnnflow.bayes import run_chains

Array = NDArray[np.float64]

START = np.array([[0.3, -1.2, 0.8], [2.0, 0.1, -0.4]])
TARGET = np.array([0.5, -0.3, 1.7])
N_DATA, FRICTION, DECAY, EPSILON = 7, 0.2, 0.9, 1e-2

STIFFNESS = (3.0, 0.2, 5.0, 0.4, 0.1, 2.0)
"""Gradients that fall and rise again: the second moment leaves its maximum from step 1 on."""
STEP_SIZES = (0.05, 0.08, 0.03, 0.06, 0.02, 0.04)
TEMPERATURES = (0.0, 0.25, 0.5, 1.0, 0.5, 1.0)
N_STEPS = len(STIFFNESS)


@dataclass
class ByHand:
    """theta (k, P), and p² lr M^-1 N / a of every step, averaged over the parameters."""

    theta: Array
    kinetic: Array


def generators() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in (5, 6)]


def standard_normals() -> Array:
    """(n_steps, k, P): each chain's stream gives P numbers a step, used or not."""
    streams = generators()
    draws = [
        [torch.randn(3, generator=stream, dtype=torch.float64).numpy() for stream in streams]
        for _ in range(N_STEPS)
    ]
    return np.array(draws)


def by_hand(freeze_mass_at: int) -> ByHand:
    """METHOD 3, in its own symbols."""
    a, beta, eps, N = FRICTION, DECAY, EPSILON, N_DATA
    theta = START
    p, v, m, inverse = (np.zeros_like(START) for _ in range(4))
    kinetic = []
    for i, n in enumerate(standard_normals()):
        lr, T = STEP_SIZES[i], TEMPERATURES[i]
        g = STIFFNESS[i] * (theta - TARGET)
        if i < freeze_mass_at:
            v = beta * v + (1 - beta) * g**2
            m = np.where(m > v, m, v)
            inverse = 1 / (np.sqrt(m / (1 - beta ** (i + 1))) + eps)
        variance = T * 2 / (lr * inverse * N)
        p = (1 - a) * p - a * g + a * np.sqrt(variance) * n
        theta = theta + lr * inverse * p
        kinetic.append(np.mean(p**2 * lr * inverse * N / a, axis=1))
    return ByHand(theta, np.array(kinetic))


@pytest.mark.parametrize("freeze_mass_at", [1, 2, N_STEPS])
def test_steps_are_those_of_the_method(freeze_mass_at: int) -> None:
    stiffness = iter(STIFFNESS)
    report = run_chains(
        torch.tensor(START),
        lambda theta, _: next(stiffness) * (theta - torch.tensor(TARGET)),
        n_data=N_DATA,
        batch=3,
        step_sizes=torch.tensor(STEP_SIZES, dtype=torch.float64),
        temperatures=torch.tensor(TEMPERATURES, dtype=torch.float64),
        friction=FRICTION,
        decay=DECAY,
        epsilon=EPSILON,
        freeze_mass_at=freeze_mass_at,
        noise_generators=generators(),
        batch_generators=generators(),
    )
    expected = by_hand(freeze_mass_at)
    np.testing.assert_allclose(report.position, expected.theta, rtol=1e-11)
    full_noise = np.equal(TEMPERATURES, 1.0)
    kinetic = expected.kinetic[full_noise].mean(axis=0)
    np.testing.assert_allclose(report.kinetic_temperature, kinetic, rtol=1e-11)


def test_every_setting_of_the_steps_is_felt() -> None:
    """The comparison above would see a mass that is never frozen, or frozen too early."""
    ends = [by_hand(freeze_mass_at).theta for freeze_mass_at in (1, 2, N_STEPS)]
    assert np.abs(ends[0] - ends[1]).min() > 1e-4
    assert np.abs(ends[1] - ends[2]).min() > 1e-4
