"""Molecular dynamics: how it moves, where it stands, and the stretches it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bnnflow.records.guards import Trip
from bnnflow.records.structures import FloatArray, IntArray, Prediction, Structure


@dataclass(frozen=True)
class Dynamics:
    """How molecular dynamics moves, in the units of the key names.

    kind: "langevin", "verlet" or "npt"; temperature_schedule: (time_fs, kelvin) corners joined by
    straight lines, constant before the first and after the last; equilibration_fs: time from the
    first step on in which Langevin dynamics come before `kind`, None: none.
    """

    kind: str
    timestep_fs: float
    temperature_schedule: tuple[tuple[float, float], ...]
    friction_per_fs: float = 0.01
    pressure_bar: float = 1.0
    thermostat_time_fs: float = 100.0
    barostat_factor_GPa_fs2: float = 160.0 * 0.1 * 75.0**2
    equilibration_fs: float | None = None


@dataclass(frozen=True, eq=False)
class Forcing:
    """Energy, forces and stress that a configuration is given instead of being evaluated.

    positions: (n_atoms, 3) Å, which must be met exactly; energy: eV, model scale; forces:
    (n_atoms, 3) eV/Å; stress: (6,) eV/Å³ or None.
    """

    positions: FloatArray
    energy: float
    forces: FloatArray
    stress: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Everything needed to take the next MD step exactly as an uninterrupted run would.

    velocities: (n_atoms, 3) in ASE's internal unit; forcing: what the calculator gave at these
    positions (None before the first evaluation); integrator: state of thermostat and barostat;
    rng: state of the noise stream, as numpy's bit generator gives it.
    """

    step: int
    structure: Structure
    velocities: FloatArray
    forcing: Forcing | None
    integrator: Mapping[str, Any]
    rng: Mapping[str, Any]


class Outcome(StrEnum):
    """How a stretch of MD ended."""

    FINISHED = "finished"
    UNCERTAIN = "uncertain"
    AUDIT = "audit"
    GUARDED = "guarded"


@dataclass(frozen=True, eq=False)
class Segment:
    """A stretch of MD: m steps taken, and why it stopped.

    checkpoint: state after the last step taken; frame, prediction: the configuration of the next
    step, when it is to be labelled: not trusted (UNCERTAIN) or due for an audit (AUDIT), that step
    is not taken yet; or the last calm one that the ensemble predicted, if any, when it is GUARDED;
    trip: why, then; steps: (m,) step
    numbers; energy: (m,) eV potential energy; energy_std: (m,) eV, NaN where a label or
    another substitute drove the step; kinetic: (m,) eV; temperature: (m,) K; positions:
    (m, n_atoms, 3) Å; cells: (m, 3, 3) Å; force_ratio: (m,) largest predicted force std over its
    limit, None without a force criterion.
    """

    outcome: Outcome
    checkpoint: Checkpoint
    steps: IntArray
    energy: FloatArray
    energy_std: FloatArray
    kinetic: FloatArray
    temperature: FloatArray
    positions: FloatArray
    cells: FloatArray
    frame: Structure | None = None
    prediction: Prediction | None = None
    seconds: float = 0.0
    host: str = ""
    force_ratio: FloatArray | None = None
    trip: Trip | None = None
