"""Where a run stands, as numbers for programs and as a table for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bnnflow.analysis import criteria, metrics
from bnnflow.analysis.run import Run, load
from bnnflow.records import Reason
from bnnflow.uncertainty import LOCK_IN_REMEDIES
from bnnflow.units import to_kcal_per_mol


def status(folder: Path) -> dict[str, Any]:
    """Where the run in `folder` stands, JSON-able; a figure that is not defined yet is None.

    Raises RunFolderError when the folder holds no run.
    """
    return of_run(load(folder))


def of_run(run: Run) -> dict[str, Any]:
    """`status` of a run that was read already."""
    state, ensemble = run.data.state, run.data.state.ensemble
    forces = criteria.force_figures(run)
    return {
        "folder": str(run.folder),
        "material": run.config.material.name,
        "phase": state.phase.value,
        "md_time_ps": run.time_ps,
        "md_length_ps": run.config.dynamics.length_ps,
        "steps": state.checkpoint.step,
        "labels": len(state.labels),
        "label_requests": state.n_requests,
        "threshold_kcal_per_mol": to_kcal_per_mol(run.threshold),
        "above_threshold": _above(run),
        "calibration": criteria.calibration_figures(run.calibration),
        "label_reasons": criteria.label_reasons(run),
        "audits": criteria.audit_figures(run),
        "forces": forces,
        "force_std_over_limit": criteria.last_force_ratio(run) if forces else None,
        "energy_std_kcal_per_mol": _finite(to_kcal_per_mol(run.last_sigma())),
        "limit_kcal_per_mol": _finite(to_kcal_per_mol(run.limit)),
        "energy_std_over_limit": _finite(run.last_sigma() / run.limit),
        "locked_in": run.locked_in,
        "seconds": run.seconds(),
        "ensemble_version": None if ensemble is None else ensemble.version,
        "ensemble_members": None if ensemble is None else ensemble.n_members,
        "failures": len(run.data.failures.task),
        "last_failure": run.data.failures.message[-1] if run.data.failures.message else None,
    }


def status_table(figures: dict[str, Any]) -> str:
    """The figures of `status` as aligned lines, with the remedies when the run is locked in."""
    rows = status_rows(figures)
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    return "\n".join(lines + ([f"LOCKED IN: {LOCK_IN_REMEDIES}"] if figures["locked_in"] else []))


def status_rows(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value, in words and the user's units, of each figure of `status`."""
    calibration, seconds = figures["calibration"], figures["seconds"]
    return [
        ("material", f"{figures['material']} ({figures['phase']})"),
        ("MD time", f"{figures['md_time_ps']:.3f} of {figures['md_length_ps']:g} ps, "
                    f"{figures['steps']:,} steps"),
        ("labels", f"{figures['labels']} ({figures['label_requests']} requested)"
                   f"{_reasons_text(figures['label_reasons'])}"),
        ("above K at interventions", share_text(figures["above_threshold"])),
        ("RMSE at interventions", _kcal_text(figures["above_threshold"]["rmse_kcal_per_mol"])),
        ("threshold K", f"{figures['threshold_kcal_per_mol']:.3g} kcal/mol"),
        ("σ* now / limit", _ratio_text(figures)),
        ("calibration", f"errors {_number(calibration['widening'])} × σ* expected, "
                        f"{calibration['count']:.4g} counted"),
        *criteria.audit_rows(figures["audits"], _audit_share(figures["audits"])),
        *criteria.force_rows(figures["forces"], figures["force_std_over_limit"]),
        ("ensemble", _ensemble_text(figures)),
        ("wall time", ", ".join(f"{kind} {spent:,.0f} s" for kind, spent in seconds.items())),
        ("failed tasks", _failure_text(figures)),
    ]  # fmt: skip


def share_text(above: dict[str, Any]) -> str:
    """A share above K with its interval, in words."""
    if not above["total"]:
        return "none yet"
    return (
        f"{above['count']} of {above['total']} = {above['share']:.1%} "
        f"(95% interval {above['low']:.1%} to {above['high']:.1%})"
    )


def share_figures(above: metrics.Share) -> dict[str, Any]:
    """A share as JSON-able figures."""
    return {
        "count": above.count,
        "total": above.total,
        "share": _finite(above.value),
        "low": above.low,
        "high": above.high,
    }


def _above(run: Run) -> dict[str, Any]:
    errors = run.data.labels.error[run.interventions]
    rmse = _finite(to_kcal_per_mol(metrics.rmse(errors)))
    return share_figures(metrics.share_above(errors, run.threshold)) | {"rmse_kcal_per_mol": rmse}


def _audit_share(audits: dict[str, Any] | None) -> str:
    return "" if audits is None else share_text(audits)


def _reasons_text(reasons: dict[str, int]) -> str:
    """Why, where there is more than one answer besides the first frame."""
    beside = {reason: n for reason, n in reasons.items() if reason != Reason.FIRST_FRAME.value}
    if set(beside) <= {Reason.UNCERTAIN.value}:
        return ""
    return ": " + ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in reasons.items())


def _ratio_text(figures: dict[str, Any]) -> str:
    sigma, limit = figures["energy_std_kcal_per_mol"], figures["limit_kcal_per_mol"]
    ratio = figures["energy_std_over_limit"]
    if sigma is None or ratio is None:
        return f"none yet / {_number(limit)} kcal/mol"
    return f"{_number(sigma)} / {_number(limit)} kcal/mol = {ratio:.2f}"


def _ensemble_text(figures: dict[str, Any]) -> str:
    if figures["ensemble_version"] is None:
        return "none yet"
    return f"version {figures['ensemble_version']}, {figures['ensemble_members']} members"


def _failure_text(figures: dict[str, Any]) -> str:
    last = figures["last_failure"]
    return "none" if last is None else f"{figures['failures']}; last: {last}"


def _kcal_text(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.3g} kcal/mol"


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None
