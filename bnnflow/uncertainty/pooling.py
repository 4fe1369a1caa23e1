"""The prior of one material's calibration, learnt from those of others (empirical Bayes).

Errors of material i have precision factor lambda_i ~ Gamma(a, b) (`calibration`). After n_i errors
with sum of squares S_i = sum (e/sigma*)², lambda_i integrates out to

    ln p(S_i | a, b) = a ln b - ln G(a) + ln G(a + n_i/2) - (a + n_i/2) ln(b + S_i/2) + const

with G the Gamma function. The a and b returned have the largest sum of these over the materials,
times a prior that keeps them near the family's a0, b0 while there is little to go by: ln a and
ln(b/a), of which the latter is the squared widening of errors, are normal with stds ln 3 and ln 10.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from bnnflow.records import Calibration, FloatArray

__all__ = ["log_marginal", "pooled_prior"]

SHAPE_STD = np.log(3.0)
"""One standard deviation of ln a."""
WIDENING_STD = np.log(10.0)
"""One standard deviation of ln(b/a)."""


def pooled_prior(
    others: Sequence[Calibration], *, shape: float, scale: float
) -> tuple[float, float]:
    """a and b of the prior for one more material.

    others: calibrations of other materials, whose counts and sums of squares are used; shape,
    scale: a0 and b0, returned where no other has an error yet.
    """
    known = [each for each in others if each.count > 0]
    if not known:
        return shape, scale
    counts = np.array([each.count for each in known], dtype=np.float64)
    squares = np.array([each.sum_squares for each in known])
    centre = np.array([np.log(shape), np.log(scale / shape)])
    stds = np.array([SHAPE_STD, WIDENING_STD])

    def cost(point: FloatArray) -> float:
        a, b = np.exp(point[0]), np.exp(point[0] + point[1])
        prior = 0.5 * np.sum(((point - centre) / stds) ** 2)
        return float(prior - np.sum(log_marginal(counts, squares, shape=a, scale=b)))

    found = minimize(cost, centre, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).x
    return float(np.exp(found[0])), float(np.exp(found[0] + found[1]))


def log_marginal(
    counts: FloatArray, squares: FloatArray, *, shape: float, scale: float
) -> FloatArray:
    """(m,) log probability of each material's sum of squares, but for what a and b do not change.

    counts, squares: (m,) n_i and S_i.
    """
    after = shape + 0.5 * counts
    rate = scale + 0.5 * squares
    constant = shape * np.log(scale) - gammaln(shape)
    return np.asarray(constant + gammaln(after) - after * np.log(rate))
