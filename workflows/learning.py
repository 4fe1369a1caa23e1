"""What the loop's calibrations learn from a label, and the limits that follow (METHOD 5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bnnflow.records import (
    Calibration,
    FloatArray,
    ForceRegion,
    ForceVerdict,
    Label,
    Labelled,
    LoopState,
    Prediction,
    Reason,
    Structure,
)
from bnnflow.uncertainty import (
    energy_calibration,
    force_calibrations,
    force_limits,
    judge_forces,
    update,
    update_forces,
)
from workflows.plan import Plan


def learnt(
    state: LoopState, plan: Plan, label: Label, prediction: Prediction, error: float
) -> LoopState:
    """The state after a label's errors entered the estimates of its kind, and those only.

    prediction: made before any training on the label; error: of its energy, eV.
    """

    def energy(calibration: Calibration) -> Calibration:
        return update(calibration, error=error, std=prediction.energy_std)

    def forces(calibrations: Sequence[Calibration]) -> tuple[Calibration, ...]:
        return _forces(plan.force_regions, calibrations, label, prediction)

    known = state.estimates
    if state.reason is Reason.AUDIT and known.audit is not None:
        audits = replace(known, audit=energy(known.audit), audit_forces=forces(known.audit_forces))
        return replace(state, estimates=audits)
    requested = replace(known, forces=forces(known.forces))
    return replace(state, calibration=energy(state.calibration), estimates=requested)


def same_atoms(one: Structure, other: Structure) -> bool:
    """Whether two structures of the same atoms are equal to the bit."""
    return np.array_equal(one.positions, other.positions) and np.array_equal(one.cell, other.cell)


def step_of_frame(state: LoopState) -> int:
    """MD step of the frame in hand: the next one, but for the frame that MD begins with."""
    step = state.checkpoint.step
    first = state.frame is not None and same_atoms(state.frame, state.checkpoint.structure)
    return step if first else step + 1


def rule_calibration(state: LoopState, plan: Plan) -> Calibration:
    """The calibration by which energies are judged now."""
    return energy_calibration(state.calibration, state.estimates.audit, plan.calibration_use)


def trusted_force_stds(state: LoopState, plan: Plan) -> FloatArray | None:
    """The largest trusted std of each atom's force error, (n_atoms,) eV/Å; None: no criterion."""
    return force_limits(
        plan.force_regions,
        force_calibrations(state.estimates, plan.calibration_use),
        n_atoms=len(state.checkpoint.structure),
        confidence=plan.confidence,
    )


def force_verdict(state: LoopState, plan: Plan, prediction: Prediction) -> ForceVerdict | None:
    """The force criterion, applied to a prediction; None without one."""
    limits = trusted_force_stds(state, plan)
    if limits is None:
        return None
    calibrations = force_calibrations(state.estimates, plan.calibration_use)
    return judge_forces(plan.force_regions, calibrations, limits, prediction.forces_std)


def within_limits(plan: Plan, event: Labelled) -> bool:
    """Whether the label's errors of the energy, and of the forces that are judged, are allowed."""
    if event.prediction is None or abs(event.error) > plan.threshold:
        return False
    errors = np.linalg.norm(event.prediction.forces - event.label.forces, axis=1)
    return all(np.all(errors[_rows(each)] <= each.limit) for each in plan.force_regions)


def _forces(
    regions: Sequence[ForceRegion],
    calibrations: Sequence[Calibration],
    label: Label,
    prediction: Prediction,
) -> tuple[Calibration, ...]:
    errors = prediction.forces - label.forces
    return tuple(
        update_forces(calibration, errors=errors[atoms], forces_std=prediction.forces_std[atoms])
        for calibration, atoms in zip(calibrations, map(_rows, regions), strict=True)
    )


def _rows(region: ForceRegion) -> np.ndarray:
    return np.array(region.atoms)
