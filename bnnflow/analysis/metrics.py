"""How good predictions and their uncertainties are, on frames whose truth is known [METHOD 8].

Errors are prediction minus reference. Functions are unit-free: what comes back has the unit of
what went in, or none. `sigma` is always one standard deviation per error, of the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.ndimage import gaussian_filter1d

FloatArray = NDArray[np.float64]

LEVELS: tuple[float, ...] = (0.5, 0.68, 0.9, 0.95)
"""Probabilities of the central intervals whose coverage is reported."""
CURVE_WIDTH = 200.0 / 1800.0
"""Width of the smoothing filter as a share of the number of points [R26, METHOD 8]."""


@dataclass(frozen=True)
class Share:
    """A share k / n with its exact (Clopper-Pearson) interval; NaN when n is 0."""

    count: int
    total: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.count / self.total if self.total else float("nan")


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve of sigma for |error| > limit; NaN with the reason why."""

    value: float
    limit: float
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Curve:
    """Smoothed |error| against sigma, both (n,), in order of rising sigma."""

    sigma: FloatArray
    error: FloatArray


def rmse(errors: ArrayLike) -> float:
    """Root mean square of errors of any shape; NaN when there are none."""
    values = np.asarray(errors, dtype=np.float64)
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


def mae(errors: ArrayLike) -> float:
    """Mean absolute error over errors of any shape; NaN when there are none."""
    values = np.asarray(errors, dtype=np.float64)
    return float(np.mean(np.abs(values))) if values.size else float("nan")


def centred(errors: ArrayLike) -> FloatArray:
    """Errors with their mean removed: what is left when a constant offset does not matter."""
    values = np.asarray(errors, dtype=np.float64)
    return values - values.mean() if values.size else values


def share(count: int, total: int, *, confidence: float = 0.95) -> Share:
    """Share with the exact central binomial interval of Clopper and Pearson (1934)."""
    if total == 0:
        return Share(0, 0, 0.0, 1.0)
    interval = stats.binomtest(count, total).proportion_ci(confidence, method="exact")
    return Share(count, total, float(interval.low), float(interval.high))


def share_above(errors: ArrayLike, limit: float, *, confidence: float = 0.95) -> Share:
    """Share of errors (n,) whose size exceeds `limit`; a non-finite error counts as above."""
    values = np.abs(np.asarray(errors, dtype=np.float64))
    return share(int(np.count_nonzero(~(values <= limit))), values.size, confidence=confidence)


def gaussian_coverage(
    errors: ArrayLike, sigma: ArrayLike, *, levels: tuple[float, ...] = LEVELS
) -> dict[float, float]:
    """Share of errors inside the central interval of N(0, sigma^2), for each probability."""
    sizes = _standardised(errors, sigma)
    return {level: _inside(sizes, float(stats.norm.ppf(0.5 + 0.5 * level))) for level in levels}


def student_coverage(
    errors: ArrayLike,
    scale: ArrayLike,
    degrees_of_freedom: float,
    *,
    levels: tuple[float, ...] = LEVELS,
) -> dict[float, float]:
    """Share of errors inside the central interval of the calibrated Student-t (METHOD 5).

    scale: s of each error, sigma* sqrt((b + n M_n / 2) / (a + n / 2)); degrees_of_freedom: 2a + n.
    """
    sizes = _standardised(errors, scale)
    law = stats.t(degrees_of_freedom)
    return {level: _inside(sizes, float(law.ppf(0.5 + 0.5 * level))) for level in levels}


def auc(errors: ArrayLike, sigma: ArrayLike, limit: float) -> Auc:
    """Probability that sigma ranks a frame with |error| > limit above one without (AUC-ROC).

    Ties count one half (Mann-Whitney). NaN, with the reason, when one of the classes is empty.
    """
    above = np.abs(np.asarray(errors, dtype=np.float64)).ravel() > limit
    n_above, n_below = int(above.sum()), int((~above).sum())
    if n_above == 0 or n_below == 0:
        side = "above" if n_above == 0 else "below"
        return Auc(float("nan"), limit, f"no error is {side} the limit")
    ranks = stats.rankdata(np.asarray(sigma, dtype=np.float64).ravel())
    wins = float(ranks[above].sum()) - n_above * (n_above + 1) / 2
    return Auc(wins / (n_above * n_below), limit)


def median_auc(errors: ArrayLike, sigma: ArrayLike) -> Auc:
    """AUC-ROC against the median |error|: defined also when no error exceeds K."""
    sizes = np.abs(np.asarray(errors, dtype=np.float64))
    return auc(errors, sigma, float(np.median(sizes)) if sizes.size else float("nan"))


def mean_log_likelihood(errors: ArrayLike, sigma: ArrayLike) -> float:
    """Mean log density of the moment-matched normal N(0, sigma^2), in nats per value.

    A density: with errors in eV it is that of 1/eV. NaN when there are no errors.
    """
    values = np.asarray(errors, dtype=np.float64)
    if not values.size:
        return float("nan")
    return float(np.mean(stats.norm.logpdf(values, scale=np.asarray(sigma, dtype=np.float64))))


def error_curve(errors: ArrayLike, sigma: ArrayLike, *, width: float | None = None) -> Curve:
    """Smooth |error| and sigma over the list sorted by sigma (Gaussian filter) [R26, METHOD 8].

    width: std of the filter in places of the list; by default a ninth of its length, the paper's
    200 of 1800.
    """
    spread = np.asarray(sigma, dtype=np.float64)
    order = np.argsort(spread, kind="stable")
    sizes = np.abs(np.asarray(errors, dtype=np.float64))[order]
    places = CURVE_WIDTH * len(order) if width is None else width
    if len(order) < 2 or places <= 0.0:
        return Curve(spread[order], sizes)
    return Curve(
        gaussian_filter1d(spread[order], places, mode="nearest"),
        gaussian_filter1d(sizes, places, mode="nearest"),
    )


def _standardised(errors: ArrayLike, sigma: ArrayLike) -> FloatArray:
    return np.abs(np.asarray(errors, dtype=np.float64) / np.asarray(sigma, dtype=np.float64))


def _inside(sizes: FloatArray, limit: float) -> float:
    return float(np.mean(sizes <= limit)) if sizes.size else float("nan")
