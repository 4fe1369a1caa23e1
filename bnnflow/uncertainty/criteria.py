"""When to ask for a label (METHOD 6), and when asking can never end (DECISIONS 3)."""

from __future__ import annotations

import math

from bnnflow.records import Calibration, Decision, ForceVerdict, Reason
from bnnflow.uncertainty.calibration import largest_trusted_std, probability_within

__all__ = ["LOCK_IN_REMEDIES", "decide", "locked_in"]

LOCK_IN_REMEDIES = (
    "the fixed energy noise alone asks for a label at every step: raise the threshold, "
    "widen the prior, or, with schedule published, take more steps per update"
)
"""What to tell the user when `locked_in` holds: one line."""


def decide(
    calibration: Calibration,
    *,
    step: int,
    time_fs: float,
    std: float,
    threshold: float,
    confidence: float = 0.95,
    force: ForceVerdict | None = None,
    audit: bool = False,
) -> Decision:
    """Apply the rule to one frame: ask for a label when P(|energy error| < K) < confidence.

    step, time_fs: of the frame; std: sigma*, eV; threshold: K, eV. A probability that is not a
    finite number asks, with its own reason. So does a force beyond its limit, and, where all is
    trusted, an audit.
    """
    limit = largest_trusted_std(calibration, threshold=threshold, confidence=confidence)
    probability = float(probability_within(calibration, std=std, threshold=threshold))
    # The limit decides, not the probability: MD compares with the same number, so that rounding
    # cannot let one of the two trust what the other does not.
    reason = _reason(probability, std <= limit, force, audit)
    return Decision(
        step=step,
        time_fs=time_fs,
        energy_std=std,
        limit=limit,
        probability=probability,
        ask=reason is not Reason.CERTAIN,
        reason=reason,
        force=force,
    )


def locked_in(
    calibration: Calibration, *, floor_std: float, threshold: float, confidence: float = 0.95
) -> bool:
    """Whether no frame can be trusted any more, however well the members agree.

    floor_std: fixed likelihood std of the energy, eV, below which sigma* cannot fall. With the
    published floor of 0.1 K this holds once M_n exceeds about 26 at large n (DECISIONS 3).
    """
    limit = largest_trusted_std(calibration, threshold=threshold, confidence=confidence)
    return not floor_std <= limit


def _reason(probability: float, within: bool, force: ForceVerdict | None, audit: bool) -> Reason:
    if not math.isfinite(probability):
        return Reason.NON_FINITE_PROBABILITY
    if not within:
        return Reason.UNCERTAIN
    if force is not None and not force.std / force.limit <= 1.0:  # as MD compares it
        return Reason.UNCERTAIN_FORCES
    return Reason.AUDIT if audit else Reason.CERTAIN
