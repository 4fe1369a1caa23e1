"""One hydrogen between sulfurs on a line, jumping when told to."""

from __future__ import annotations

import numpy as np
from motions import motion

from bnnflow.analysis.motion.trajectory import Motion

SPACING = 3.5
"""Between sulfurs, Å."""
BOND = 1.35
"""Hydrogen to its sulfur, Å."""


def line(hosts: list[int], *, sulfurs: int = 4, timestep: float = 1.5) -> Motion:
    """hosts: (m,) which sulfur of a periodic line the hydrogen sits at, beside it, in each frame.

    The hydrogen is BOND away across the line, so that only the sulfur it sits at is near.
    """
    places = np.zeros((len(hosts), sulfurs + 1, 3))
    places[:, :sulfurs, 0] = SPACING * np.arange(sulfurs)
    places[:, sulfurs, 0] = SPACING * np.array(hosts)
    places[:, sulfurs, 1] = BOND
    cell = np.diag([SPACING * sulfurs, 12.0, 12.0])
    return motion(["S"] * sulfurs + ["H"], places, cell, timestep=timestep)


def between(fractions: np.ndarray, *, timestep: float = 1.0) -> Motion:
    """fractions: (m,) place of the hydrogen between two sulfurs SPACING apart, 0 at the first."""
    places = np.zeros((len(fractions), 3, 3))
    places[:, 1, 0] = SPACING
    places[:, 2, 0] = SPACING * fractions
    return motion(["S", "S", "H"], places, 20.0, timestep=timestep)
