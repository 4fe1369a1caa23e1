"""How uncertain a prediction is, how far to believe that, and when to ask for a label."""

from bnnflow.uncertainty.audits import rms_upper_bound
from bnnflow.uncertainty.calibration import (
    degrees_of_freedom,
    inflation,
    largest_trusted_std,
    predictive_std,
    probability_within,
    update,
)
from bnnflow.uncertainty.criteria import LOCK_IN_REMEDIES, decide, locked_in
from bnnflow.uncertainty.evidence import energy_calibration, force_calibrations
from bnnflow.uncertainty.forces import (
    force_length_std,
    force_limits,
    force_ratio,
    judge_forces,
    largest_trusted_force_std,
    probability_force_within,
    update_forces,
)
from bnnflow.uncertainty.pooling import pooled_prior
from bnnflow.uncertainty.reduce import reduce_members

__all__ = [
    "LOCK_IN_REMEDIES",
    "decide",
    "degrees_of_freedom",
    "energy_calibration",
    "force_calibrations",
    "force_length_std",
    "force_limits",
    "force_ratio",
    "inflation",
    "judge_forces",
    "largest_trusted_force_std",
    "largest_trusted_std",
    "locked_in",
    "pooled_prior",
    "predictive_std",
    "probability_force_within",
    "probability_within",
    "reduce_members",
    "rms_upper_bound",
    "update",
    "update_forces",
]
