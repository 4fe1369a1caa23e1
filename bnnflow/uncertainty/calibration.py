"""On-the-fly calibration of the energy uncertainty (METHOD 5, [R26] B.11).

Model: e_i ~ N(0, sigma_i² / lambda), lambda ~ Gamma(a, b) with rate b. After n labelled errors the
posterior of lambda is Gamma(a + n/2, b + n M_n / 2), and a new error is Student-t:

    nu = 2a + n        s² = sigma*² (b + n M_n / 2) / (a + n/2)        P(|e*| < K) = 2 T_nu(K/s) - 1

    a        shape            n        count
    b        scale            n M_n    sum_squares, the sum of e_i² / sigma_i²
    sigma*   std              K        threshold

Moving average: with a decay d < 1 each new error first multiplies n and n M_n by d, so that an
error counts d^j when j came after it; n is then the sum of these weights and tends to 1 / (1 - d).
This is Bayes' rule with the likelihood of each error to the power of its weight: old errors are
forgotten towards the prior, and the degrees of freedom say how few remain.

The published 2F1 form is equal where it can be evaluated, and NaN in states that real runs reach
(DECISIONS 1); the Student-t form has no such states.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import stats

from bnnflow.records import Calibration, FloatArray

__all__ = [
    "degrees_of_freedom",
    "inflation",
    "largest_trusted_std",
    "predictive_std",
    "probability_within",
    "update",
]


def update(calibration: Calibration, *, error: float, std: float) -> Calibration:
    """The calibration after one more labelled error.

    error: prediction minus reference, eV; std: sigma* predicted for it before any training on
    that label, eV. Raises ValueError for a number that would spoil every later decision.
    """
    if not (np.isfinite(error) and np.isfinite(std) and std > 0.0):
        raise ValueError(
            f"a labelled error of {error} eV with std {std} eV cannot enter the calibration: "
            "expected a finite error and a finite, positive std; leave this label out"
        )
    count, sum_squares = calibration.count, calibration.sum_squares
    if calibration.decay != 1.0:
        count, sum_squares = calibration.decay * count, calibration.decay * sum_squares
    return replace(
        calibration, count=count + 1, sum_squares=float(sum_squares + (error / std) ** 2)
    )


def degrees_of_freedom(calibration: Calibration) -> float:
    """nu = 2a + n of the predictive Student-t."""
    return 2.0 * calibration.shape + calibration.count


def inflation(calibration: Calibration) -> float:
    """s / sigma*: how much larger errors were than predicted, drawn towards the prior."""
    rate = calibration.scale + 0.5 * calibration.sum_squares
    shape = calibration.shape + 0.5 * calibration.count
    return float(np.sqrt(rate / shape))


def predictive_std(calibration: Calibration, *, std: FloatArray | float) -> FloatArray:
    """s, the scale of the predictive Student-t, eV, for predicted stds sigma* of any shape, eV."""
    return np.asarray(std, dtype=np.float64) * inflation(calibration)


def probability_within(
    calibration: Calibration, *, std: FloatArray | float, threshold: float
) -> FloatArray:
    """P(|energy error| < K) for predicted stds of any shape, in the shape of `std`.

    std: sigma*, eV; threshold: K, eV. A std that is not finite gives 0 or NaN: never trust.
    """
    scale = predictive_std(calibration, std=std)
    with np.errstate(divide="ignore"):  # a std of 0 is certain: K / 0 = inf, P = 1
        ratio = threshold / scale
    return np.asarray(1.0 - 2.0 * stats.t.sf(ratio, df=degrees_of_freedom(calibration)))


def largest_trusted_std(
    calibration: Calibration, *, threshold: float, confidence: float = 0.95
) -> float:
    """The sigma* at which P(|energy error| < K) falls to `confidence`, eV.

    Between two updates the whole rule is this number. threshold: K, eV; confidence: of being
    within K, 0.95 in METHOD 6. The inverse of `probability_within`, in closed form.
    """
    quantile = stats.t.ppf(0.5 * (1.0 + confidence), df=degrees_of_freedom(calibration))
    return float(threshold / (quantile * inflation(calibration)))
