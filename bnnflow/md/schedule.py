"""The target temperature over time: corners joined by straight lines."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from bnnflow.errors import ConfigError

Schedule = tuple[tuple[float, float], ...]
"""(time in fs, temperature in K) corners, in order of time."""


def temperature_at(schedule: Schedule, time_fs: float) -> float:
    """Target temperature in K at `time_fs`, constant before the first corner and after the last.

    schedule: corners, already checked with `check_schedule`.
    """
    times, kelvins = zip(*schedule, strict=True)
    return float(np.interp(time_fs, times, kelvins))


def check_schedule(schedule: Schedule) -> None:
    """Raise ConfigError unless the corners are finite, in order of time, and above 0 K."""
    if not schedule:
        raise ConfigError("the temperature schedule is empty: give at least one (time_fs, kelvin)")
    for time_fs, kelvin in schedule:
        if not (math.isfinite(time_fs) and math.isfinite(kelvin) and kelvin > 0.0):
            raise ConfigError(
                f"the temperature schedule has the corner ({time_fs} fs, {kelvin} K), expected a "
                "finite time and a temperature above 0 K: correct that corner"
            )
    for (earlier, _), (later, _) in pairwise(schedule):
        if later <= earlier:
            raise ConfigError(
                f"the temperature schedule goes from {earlier} fs to {later} fs, expected rising "
                "times: put the corners in order of time"
            )
