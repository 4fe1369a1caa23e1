"""The bound on the RMS error of audits: tabulated quantiles, and how often it is wrong."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bnnflow.uncertainty import rms_upper_bound


@pytest.mark.parametrize(("n", "quantile"), [(5, 1.145), (10, 3.940), (20, 10.851), (60, 43.188)])
def test_a_single_look_is_the_tabulated_chi_squared_bound(n: int, quantile: float) -> None:
    """Lower 5 % points of chi-squared as printed in tables; the first look has half of alpha."""
    bound = rms_upper_bound([2.0] * n, confidence=0.9)
    assert bound == pytest.approx(2.0 * math.sqrt(n / quantile), rel=1e-3)


def test_looks_share_what_may_be_wrong() -> None:
    errors = [0.3, -1.0, 0.5, 0.1]
    for look in (1, 2, 7):
        quantile = stats.chi2.ppf(0.05 / (look * (look + 1)), df=4)
        expected = math.sqrt(sum(e * e for e in errors) / quantile)
        assert rms_upper_bound(errors, confidence=0.95, look=look) == pytest.approx(expected)
    assert sum(1.0 / (k * (k + 1)) for k in range(1, 100001)) == pytest.approx(1.0, abs=1e-4)


def test_nothing_is_established_by_nothing() -> None:
    assert rms_upper_bound([], confidence=0.95) == math.inf
    assert rms_upper_bound([0.0, 0.0], confidence=0.95) == 0.0


def test_a_run_watched_for_100_audits_is_rarely_wrong() -> None:
    """True RMS 1: a bound below 1 at any look is wrong, in at most 5 % of 1000 runs.

    The bound for a single look, taken 91 times, is wrong several times as often.
    """
    rng = np.random.default_rng(3)
    n = np.arange(10, 101)
    sums = np.cumsum(rng.normal(size=(1000, 100)) ** 2, axis=1)[:, 9:]
    shared = np.array([_factor(int(each), look) for look, each in enumerate(n, start=1)])
    wrong = np.mean(np.any(np.sqrt(sums / n) * shared < 1.0, axis=1))
    naive = np.sqrt(n / stats.chi2.ppf(0.05, df=n))
    naive_wrong = np.mean(np.any(np.sqrt(sums / n) * naive < 1.0, axis=1))
    print(f"wrong in {wrong:.1%} of runs, with one look's bound {naive_wrong:.1%}")
    assert 0.01 < wrong < 0.05 < 0.15 < naive_wrong


def _factor(n: int, look: int) -> float:
    """Bound over observed RMS."""
    return rms_upper_bound([1.0] * n, confidence=0.95, look=look)
