"""Events to rows of the tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bnnflow.records import (
    Asked,
    Calibration,
    Driven,
    Event,
    Failed,
    FloatArray,
    Labelled,
    Prediction,
    Spent,
    Updated,
)

Rows = dict[str, Any]
"""Column -> array of m rows."""
PER_CHAIN = (
    "kinetic_temperature",
    "energy_rmse",
    "force_rmse",
    "acceptance",
    "held_in_change",
)
"""What each chain reports of an update."""


def rows_of(event: Event, timestep_fs: float) -> tuple[str, Rows]:
    """Name of the table an event belongs to, and its rows there."""
    table, make = _TABLE_OF[type(event)]
    return table, make(event, timestep_fs)


def _driven(event: Driven, timestep_fs: float) -> Rows:
    segment = event.segment
    m = len(segment.steps)
    names = ("steps", "energy", "energy_std", "kinetic", "temperature", "positions", "cells")
    return {name: getattr(segment, name) for name in names} | {
        "time_fs": segment.steps * timestep_fs,
        "limit": np.full(m, event.limit),
        "probability": event.probability,
        "ensemble_version": np.full(m, event.ensemble_version),
        "force_ratio": _or_nan(segment.force_ratio, (m,)),
    }


def _asked(event: Asked, _timestep_fs: float) -> Rows:
    decision, force = event.decision, event.decision.force
    row = {name: value for name, value in vars(decision).items() if name != "force"}
    return _one(
        {
            **row,
            "reason": decision.reason.value,
            "worst_atom": -1 if force is None else force.atom,
            "force_std": np.nan if force is None else force.std,
            "force_limit": np.nan if force is None else force.limit,
            "force_probability": np.nan if force is None else force.probability,
        }
    )


def _labelled(event: Labelled, timestep_fs: float) -> Rows:
    label, structure = event.label, event.label.structure
    return _one(
        {
            "name": event.name,
            "step": event.step,
            "time_fs": event.step * timestep_fs,
            "shifted": event.shifted,
            "error": event.error,
            "positions": structure.positions,
            "cells": structure.cell,
            "stress": _or_nan(label.stress, (6,)),
            "details": json.dumps(label.details, default=_plain),
            "reason": "" if event.reason is None else event.reason.value,
            **_calibrated("calibration", event.calibration),
            **_calibrated("audit", event.estimates.audit),
            **_calibrated_forces("force", event.estimates.forces),
            **_calibrated_forces("audit_force", event.estimates.audit_forces),
            **{name: getattr(label, name) for name in ("energy", "forces", "level")},
            **{name: getattr(label, name) for name in ("seconds", "host", "directory")},
            **_predicted(event.prediction, label.forces.shape),
        }
    )


def _calibrated(name: str, found: Calibration | None) -> Rows:
    return {
        f"{name}_count": np.nan if found is None else float(found.count),
        f"{name}_sum_squares": np.nan if found is None else found.sum_squares,
    }


def _calibrated_forces(name: str, found: Sequence[Calibration]) -> Rows:
    return {
        f"{name}_count": np.array([float(each.count) for each in found]),
        f"{name}_sum_squares": np.array([each.sum_squares for each in found]),
    }


def _predicted(prediction: Prediction | None, shape: tuple[int, ...]) -> Rows:
    def value(name: str, shape: tuple[int, ...] = ()) -> FloatArray:
        return _or_nan(getattr(prediction, name, None), shape)

    return {
        "predicted_energy": value("energy"),
        "energy_std": value("energy_std"),
        "energy_spread": value("energy_spread"),
        "member_energies": value("member_energies", (0,)),
        "predicted_forces": value("forces", shape),
        "forces_std": value("forces_std", shape),
        "predicted_stress": value("stress", (6,)),
        "stress_std": value("stress_std", (6,)),
    }


def _updated(event: Updated, _timestep_fs: float) -> Rows:
    n_members = event.ensemble.n_members
    per_chain = {name: np.full(n_members, np.nan) for name in PER_CHAIN}
    for result in event.results:
        for name, values in per_chain.items():
            values[list(result.chains)] = getattr(result, name)
    seconds = sum(result.seconds for result in event.results)
    return _one({**vars(event.ensemble), "seconds": seconds, **per_chain})


def _failed(event: Failed, _timestep_fs: float) -> Rows:
    failure = event.failure
    return _one({**vars(failure), "cause": failure.cause.value, "action": event.action})


def _spent(event: Spent, _timestep_fs: float) -> Rows:
    return _one(vars(event))


def _one(row: Mapping[str, Any]) -> Rows:
    return {name: np.array([value]) for name, value in row.items()}


def _or_nan(value: Any, shape: tuple[int, ...]) -> FloatArray:
    return np.full(shape, np.nan) if value is None else np.asarray(value, dtype=np.float64)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)


_TABLE_OF: dict[type, tuple[str, Callable[[Any, float], Rows]]] = {
    Driven: ("trajectory", _driven),
    Asked: ("decisions", _asked),
    Labelled: ("labels", _labelled),
    Updated: ("updates", _updated),
    Failed: ("failures", _failed),
    Spent: ("timing", _spent),
}
