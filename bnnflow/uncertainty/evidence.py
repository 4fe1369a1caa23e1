"""Which labels the rule learns from: requested ones, audits, or both (METHOD 5, DECISIONS 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bnnflow.records import Calibration, Estimates

__all__ = ["energy_calibration", "force_calibrations"]


def energy_calibration(
    requested: Calibration, audit: Calibration | None, use: str = "requested"
) -> Calibration:
    """The calibration by which energies are judged.

    use: "requested", "audit", or "both": the prior once, with the errors of both.
    """
    if audit is None or use == "requested":
        return requested
    if use == "audit":
        return audit
    return replace(
        requested,
        count=requested.count + audit.count,
        sum_squares=requested.sum_squares + audit.sum_squares,
    )


def force_calibrations(estimates: Estimates, use: str = "requested") -> tuple[Calibration, ...]:
    """The calibration by which the forces of each region are judged."""
    audits: Sequence[Calibration | None] = estimates.audit_forces or [None] * len(estimates.forces)
    pairs = zip(estimates.forces, audits, strict=True)
    return tuple(energy_calibration(one, other, use) for one, other in pairs)
