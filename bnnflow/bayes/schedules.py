"""Step size and noise over the steps of one update (METHOD 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

STEP_SIZE_FLOOR = 1e-8
"""Added to every step size by [R26]'s code, so that the last step is not exactly zero."""


@dataclass(frozen=True, eq=False)
class Schedule:
    """step_sizes, temperatures: (n_steps,); freeze_mass_at: first step that leaves the mass."""

    step_sizes: Tensor
    temperatures: Tensor
    freeze_mass_at: int


def sghmc_schedule(
    *,
    n_steps: int,
    initial: float,
    noise_free_fraction: float,
    ramp_fraction: float,
    freeze_mass_fraction: float,
) -> Schedule:
    """The schedule of an update whose phases are given as shares of its steps."""
    return Schedule(
        step_sizes=cosine_step_sizes(n_steps=n_steps, initial=initial),
        temperatures=noise_temperatures(
            n_steps=n_steps,
            noise_free=round(noise_free_fraction * n_steps),
            ramp=round(ramp_fraction * n_steps),
        ),
        # The first step has to set the mass, whatever follows.
        freeze_mass_at=max(1, round(freeze_mass_fraction * n_steps)),
    )


def cosine_step_sizes(*, n_steps: int, initial: float) -> Tensor:
    """(n_steps,) lr(i) = lr0/2 (1 + cos(pi i / n_steps)) + 1e-8."""
    phase = torch.arange(n_steps, dtype=torch.float64) * (math.pi / n_steps)
    return 0.5 * initial * (1.0 + torch.cos(phase)) + STEP_SIZE_FLOOR


def noise_temperatures(*, n_steps: int, noise_free: int, ramp: int) -> Tensor:
    """(n_steps,) noise variance relative to the posterior's: 0, then a linear ramp, then 1."""
    step = torch.arange(n_steps, dtype=torch.float64)
    return ((step - noise_free + 1) / max(ramp, 1)).clamp(0.0, 1.0)
