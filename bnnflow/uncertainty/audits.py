"""What audits establish about the accuracy of a run, with a confidence.

For n independent normal errors of mean zero and RMS s, the sum of their squares over s^2 is
chi-squared with n degrees of freedom, so that with probability 1 - alpha

    s < sqrt(sum of squares / q)        q: quantile of chi-squared(n) at alpha

A rule that looks again after every audit has many chances to be wrong, so its looks share alpha:
look k = 1, 2, ... gets alpha / (k (k + 1)), whose sum is alpha (the union bound). The statement
then holds whenever the rule stops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import gammaincinv


def rms_upper_bound(errors: Sequence[float], *, confidence: float, look: int = 1) -> float:
    """What the RMS of errors is below, with a confidence, in the unit of the errors.

    errors: (n,), of frames that were chosen without knowing them; confidence: of all looks
    together; look: how many times the bound was taken with this one, 1 for the first. Infinite
    without errors.
    """
    if not errors:
        return math.inf
    alpha = (1.0 - confidence) / (look * (look + 1))
    quantile = 2.0 * gammaincinv(0.5 * len(errors), alpha)  # of chi-squared
    return math.sqrt(float(np.sum(np.square(errors))) / float(quantile))
