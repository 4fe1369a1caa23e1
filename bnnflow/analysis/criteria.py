"""Figures of the rule's options, audits and the force criterion; None where a run has none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from bnnflow.analysis import metrics
from bnnflow.analysis.run import Run
from bnnflow.records import Calibration, ForceRegion
from bnnflow.uncertainty import (
    degrees_of_freedom,
    force_calibrations,
    largest_trusted_force_std,
    predictive_std,
)
from bnnflow.units import to_kcal_per_mol


def calibration_figures(found: Calibration) -> dict[str, Any]:
    """A calibration as JSON-able figures; widening: s / sigma*."""
    return {
        "shape": found.shape,
        "scale": found.scale,
        "count": found.count,
        "mean_square": found.sum_squares / found.count if found.count else None,
        "degrees_of_freedom": degrees_of_freedom(found),
        "widening": float(predictive_std(found, std=1.0)),
    }


def label_reasons(run: Run) -> dict[str, int]:
    """How many labels were asked for, by reason; empty in runs older than the column."""
    return dict(Counter(reason for reason in run.data.labels.reason if reason))


def audit_share(run: Run) -> metrics.Share:
    """Share of audits with |error| > K: unbiased for the trusted frames of this run."""
    return metrics.share_above(run.data.labels.error[run.audits], run.threshold)


def audit_figures(run: Run) -> dict[str, Any] | None:
    """The audits so far, and what they say of the trusted frames."""
    audit = run.data.state.estimates.audit
    if audit is None:
        return None
    above = audit_share(run)
    rmse = to_kcal_per_mol(metrics.rmse(run.data.labels.error[run.audits]))
    return {
        "every_steps": run.config.calibration.audit_every_steps,
        "use": run.config.calibration.use,
        "count": above.count,
        "total": above.total,
        "share": above.value if above.total else None,
        "low": above.low,
        "high": above.high,
        "rmse_kcal_per_mol": rmse if np.isfinite(rmse) else None,
        "calibration": calibration_figures(audit),
    }


def force_figures(run: Run) -> list[dict[str, Any]] | None:
    """Each region of the force criterion: its limit, its calibration, and what is trusted now."""
    regions = run.config.threshold.regions(run.data.state.checkpoint.structure)
    if not regions:
        return None
    estimates, use = run.data.state.estimates, run.config.calibration.use
    family = sum(len(region.atoms) for region in regions)
    pairs = zip(regions, force_calibrations(estimates, use), strict=True)
    return [_region(run, region, calibration, family) for region, calibration in pairs]


def last_force_ratio(run: Run) -> float | None:
    """The newest largest force std over its limit; None without one."""
    values = run.data.trajectory.force_ratio
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else None


def _region(run: Run, region: ForceRegion, calibration: Calibration, family: int) -> dict[str, Any]:
    trusted = largest_trusted_force_std(
        calibration,
        limit=region.limit,
        confidence=run.config.threshold.confidence,
        n_atoms=family,
    )
    labels, atoms = run.data.labels, list(region.atoms)
    errors = labels.predicted_forces[:, atoms] - labels.forces[:, atoms]
    lengths = np.linalg.norm(errors, axis=2)
    lengths = lengths[np.isfinite(lengths)]
    return {
        "region": region.name,
        "atoms": len(region.atoms),
        "limit_kcal_per_mol_A": to_kcal_per_mol(region.limit),
        "trusted_std_kcal_per_mol_A": to_kcal_per_mol(trusted),
        "above_limit": int(np.count_nonzero(lengths > region.limit)),
        "force_errors": int(lengths.size),
        "calibration": calibration_figures(calibration),
    }


def audit_rows(figures: dict[str, Any] | None, share: str) -> list[tuple[str, str]]:
    """The audits in words. share: of |error| > K, in words."""
    if figures is None:
        return []
    found, rmse = figures["calibration"], figures["rmse_kcal_per_mol"]
    widening = f"errors {found['widening']:.3g} × σ* expected, {found['count']:.3g} counted"
    return [
        ("audits above K", f"{share}, every {figures['every_steps']} steps"),
        ("RMSE of audits", "none yet" if rmse is None else f"{rmse:.3g} kcal/mol"),
        ("calibration by audits", f"{widening}; the rule uses: {figures['use']}"),
    ]


def force_rows(figures: list[dict[str, Any]] | None, ratio: float | None) -> list[tuple[str, str]]:
    """The force criterion in words, a line per region."""
    if figures is None:
        return []
    now = "none yet" if ratio is None else f"{ratio:.2f}"
    lines = [
        (
            f"forces of {each['region']}",
            f"{each['atoms']} atoms, limit {each['limit_kcal_per_mol_A']:.3g}, std trusted to "
            f"{each['trusted_std_kcal_per_mol_A']:.3g} kcal/mol/Å; errors "
            f"{each['calibration']['widening']:.3g} × expected, "
            f"{each['calibration']['count']:.3g} counted; {each['above_limit']} of "
            f"{each['force_errors']} above at labels",
        )
        for each in figures
    ]
    return [("force std now / limit", now), *lines]
