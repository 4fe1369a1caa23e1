"""How uncertain a prediction is, how far to believe that, and when to ask for a label."""

from bnnflow.uncertainty.calibration import (
    degrees_of_freedom,
    largest_trusted_std,
    predictive_std,
    probability_within,
    update,
)
from bnnflow.uncertainty.criteria import LOCK_IN_REMEDIES, decide, locked_in
from bnnflow.uncertainty.reduce import reduce_members

__all__ = [
    "LOCK_IN_REMEDIES",
    "decide",
    "degrees_of_freedom",
    "largest_trusted_std",
    "locked_in",
    "predictive_std",
    "probability_within",
    "reduce_members",
    "update",
]
