"""Are labels denser around events, such as proton jumps, than elsewhere? [R26, METHOD 7]

Two tests, both one-sided (denser), of n labels of which k lie in windows that take the share f of
the time:

exact      given n, k is binomial (n, f) when labels are a Poisson process of one rate; too sure of
           itself when labels come in bursts
shifted    the labels' times are shifted against the events by every possible amount, the end joined
           to the beginning: p is the share of all shifts with as many labels in windows. Both
           keep their bursts. Exact when the one series does not know of the other and neither
           rate drifts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from bnnflow.analysis.conformers import enrichment
from bnnflow.analysis.motion.correlation import circular_sums
from bnnflow.records import FloatArray

WINDOW_FS = 15.0
"""Full width of a window round an event, fs [R26]."""


@dataclass(frozen=True)
class LabelRate:
    """Rate of labels inside windows round events against elsewhere.

    labels_inside, labels: counts; events: that were given; time_share: of the windows; ratio: rate
    inside over rate outside, with its exact 95 % interval low..high; p_exact, p_shifted: see above.
    What is not defined is NaN.
    """

    labels_inside: int
    labels: int
    events: int
    time_share: float
    ratio: float
    low: float
    high: float
    p_exact: float
    p_shifted: float


def label_rate_around(
    events: ArrayLike, labels: ArrayLike, times: ArrayLike, *, window_fs: float = WINDOW_FS
) -> LabelRate:
    """Compare the rate of labels within half a window of an event with the rate elsewhere.

    events, labels: times in fs; times: (m,) fs, evenly spaced, all at which a label could have been
    asked for; labels outside them are left out; window_fs: full width.
    """
    grid = np.asarray(times, dtype=np.float64)
    inside = within(events, grid, window_fs)
    rows = _rows(labels, grid)
    found = enrichment(inside, rows)
    ratio, low, high = _ratio(found.labels_inside, found.labels, found.time_share)
    counts = np.bincount(rows, minlength=len(grid)).astype(np.float64)
    return LabelRate(
        labels_inside=found.labels_inside,
        labels=found.labels,
        events=np.asarray(events).size,
        time_share=found.time_share,
        ratio=ratio,
        low=low,
        high=high,
        p_exact=found.p_value,
        p_shifted=shifted_p_value(counts, inside) if np.isfinite(found.p_value) else float("nan"),
    )


def within(events: ArrayLike, times: FloatArray, window_fs: float) -> NDArray[np.bool_]:
    """(m,) whether each time (rising) lies within half a window of any event; all in fs."""
    moments = np.sort(np.asarray(events, dtype=np.float64).ravel())
    slack = 1e-6 * (times[1] - times[0])
    padded = np.concatenate([[-np.inf], moments, [np.inf]])
    after = np.searchsorted(padded, times)
    gap = np.minimum(padded[after] - times, times - padded[after - 1])
    return np.asarray(gap <= 0.5 * window_fs + slack)


def shifted_p_value(counts: FloatArray, inside: NDArray[np.bool_]) -> float:
    """Share of all circular shifts of `counts` (m,) that put as many into `inside` (m,) or more."""
    sums = np.rint(circular_sums(counts, inside.astype(np.float64)))
    return float(np.mean(sums >= sums[0]))


def _rows(labels: ArrayLike, times: FloatArray) -> NDArray[np.int64]:
    """Index of the time nearest to each label, for labels between the first and the last."""
    moments = np.asarray(labels, dtype=np.float64).ravel()
    places = np.rint((moments - times[0]) / (times[1] - times[0])).astype(np.int64)
    return np.asarray(places[(places >= 0) & (places < len(times))])


def _ratio(inside: int, total: int, share: float) -> tuple[float, float, float]:
    """Rate inside over outside, with the interval that Clopper and Pearson's of k of n gives."""
    if not total or not 0.0 < share < 1.0:
        return float("nan"), float("nan"), float("nan")
    interval = stats.binomtest(inside, total).proportion_ci(0.95, method="exact")
    scale = (1.0 - share) / share
    values = (inside / total, float(interval.low), float(interval.high))
    ratio, low, high = (scale * p / (1.0 - p) if p < 1.0 else float("inf") for p in values)
    return ratio, low, high
