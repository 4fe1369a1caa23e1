"""The tables of run.h5: one dataclass per group, one field per dataset, one row per event.

A field's type, shape and meaning are stated once, here; the file and `read_run` both follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, get_type_hints

import numpy as np
from numpy.typing import NDArray

from bnnflow.records import FloatArray, IntArray

Axis = int | Literal["atoms", "members", "regions"]


@dataclass(frozen=True)
class Column:
    """Type and row shape of a dataset; "atoms" is fixed per run, others grow when needed."""

    kind: type
    shape: tuple[Axis, ...] = ()


Integers = Annotated[IntArray, Column(int)]
Reals = Annotated[FloatArray, Column(float)]
Flags = Annotated[NDArray[np.bool_], Column(bool)]
Words = Annotated[tuple[str, ...], Column(str)]
AtomVectors = Annotated[FloatArray, Column(float, ("atoms", 3))]
CellRows = Annotated[FloatArray, Column(float, (3, 3))]
Stresses = Annotated[FloatArray, Column(float, (6,))]
PerMember = Annotated[FloatArray, Column(float, ("members",))]
PerRegion = Annotated[FloatArray, Column(float, ("regions",))]


@cache
def columns(table: type) -> dict[str, Column]:
    """Name -> type and row shape of every dataset of a table."""
    hints = get_type_hints(table, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One row per MD step taken.

    energy_std: sigma*, eV, NaN where the reference drove the step; limit: largest trusted sigma*,
    eV; probability: calibrated P(|energy error| < K); ensemble_version: of the driving ensemble;
    force_ratio: largest predicted force std over its limit, NaN without a force criterion.
    """

    steps: Integers
    time_fs: Reals
    energy: Reals
    energy_std: Reals
    limit: Reals
    probability: Reals
    kinetic: Reals
    temperature: Reals
    positions: AtomVectors
    cells: CellRows
    ensemble_version: Integers
    force_ratio: Reals


@dataclass(frozen=True, eq=False)
class Decisions:
    """One row per frame that the rule was applied to (`records.Decision`).

    worst_atom, force_std, force_limit (eV/Å), force_probability: `records.ForceVerdict`; -1 and NaN
    without a force criterion.
    """

    step: Integers
    time_fs: Reals
    energy_std: Reals
    limit: Reals
    probability: Reals
    ask: Flags
    reason: Words
    worst_atom: Integers
    force_std: Reals
    force_limit: Reals
    force_probability: Reals


@dataclass(frozen=True, eq=False)
class Labels:
    """One row per label of the data set, with the prediction made before any training on it.

    energy: eV, as the code gives it; shifted: eV, on the model's scale; error: eV, predicted minus
    shifted; predicted and stress values are NaN where there were none; details: JSON; reason: why
    it was asked for, "" in runs older than this column; *_count, *_sum_squares: of a calibration
    after this label: of requested energies, audits of energies, and forces of both per region.
    """

    name: Words
    step: Integers
    time_fs: Reals
    energy: Reals
    shifted: Reals
    error: Reals
    predicted_energy: Reals
    energy_std: Reals
    energy_spread: Reals
    member_energies: PerMember
    positions: AtomVectors
    cells: CellRows
    forces: AtomVectors
    predicted_forces: AtomVectors
    forces_std: AtomVectors
    stress: Stresses
    predicted_stress: Stresses
    stress_std: Stresses
    level: Words
    seconds: Reals
    host: Words
    directory: Words
    details: Words
    reason: Words
    calibration_count: Reals
    calibration_sum_squares: Reals
    audit_count: Reals
    audit_sum_squares: Reals
    force_count: PerRegion
    force_sum_squares: PerRegion
    audit_force_count: PerRegion
    audit_force_sum_squares: PerRegion


@dataclass(frozen=True, eq=False)
class Updates:
    """One row per ensemble version; kinetic_temperature, energy_rmse (eV), force_rmse (eV/Å),
    acceptance and held_in_change (see `records.SampleResult`) per chain, NaN where a chain
    reported none; seconds: summed over the tasks.
    """

    version: Integers
    directory: Words
    n_members: Integers
    seconds: Reals
    kinetic_temperature: PerMember
    energy_rmse: PerMember
    force_rmse: PerMember
    acceptance: PerMember
    held_in_change: PerMember


@dataclass(frozen=True, eq=False)
class Failures:
    """One row per failed task (`records.Failure`), and the action taken."""

    task: Words
    cause: Words
    message: Words
    directory: Words
    traceback: Words
    seconds: Reals
    host: Words
    action: Words


@dataclass(frozen=True, eq=False)
class Timing:
    """One row per stretch of the coordinator's wall time. kind: md, label, update or idle."""

    kind: Words
    start_s: Reals
    seconds: Reals


TABLES: dict[str, type] = {
    "trajectory": Trajectory,
    "decisions": Decisions,
    "labels": Labels,
    "updates": Updates,
    "failures": Failures,
    "timing": Timing,
}
"""Group in run.h5 -> its dataclass."""
