"""Metrics against closed forms, tables and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from bnnflow.analysis import metrics

RNG = np.random.default_rng(7)


def test_rmse_and_mae_of_three_four_five() -> None:
    assert metrics.rmse([3.0, -4.0]) == pytest.approx(np.sqrt(12.5))
    assert metrics.mae([3.0, -4.0]) == pytest.approx(3.5)


def test_rmse_without_data_is_nan() -> None:
    assert np.isnan(metrics.rmse([])) and np.isnan(metrics.mae([]))


def test_centred_removes_a_constant_and_gives_the_standard_deviation() -> None:
    errors = RNG.normal(size=50) + 100.0
    assert metrics.rmse(metrics.centred(errors)) == pytest.approx(errors.std())
    assert metrics.rmse(metrics.centred([5.0, 5.0])) == 0.0


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 50, 0.0, 1.0 - 0.025 ** (1 / 50)),  # rule of three, exactly
        (50, 50, 0.025 ** (1 / 50), 1.0),
        (2, 50, 0.0048814, 0.1371376),  # R: binom.test(2, 50)
        (5, 10, 0.1870860, 0.8129140),  # R: binom.test(5, 10)
    ],
)
def test_share_has_the_exact_interval(count: int, total: int, low: float, high: float) -> None:
    found = metrics.share(count, total)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    assert found.value == count / total


def test_share_interval_bounds_have_the_promised_tail() -> None:
    found = metrics.share(3, 40)
    assert stats.binom.sf(2, 40, found.low) == pytest.approx(0.025)
    assert stats.binom.cdf(3, 40, found.high) == pytest.approx(0.025)


def test_share_of_nothing_knows_nothing() -> None:
    found = metrics.share(0, 0)
    assert np.isnan(found.value) and (found.low, found.high) == (0.0, 1.0)


def test_share_above_is_strict_and_counts_the_non_finite() -> None:
    assert metrics.share_above([0.1, -0.5, -0.6, np.nan], 0.5).count == 2


def test_gaussian_coverage_of_a_known_list() -> None:
    errors = np.array([0.0, 0.6, -0.9, 1.5, -1.8, 3.0])  # in units of sigma
    found = metrics.gaussian_coverage(errors * 2.0, np.full(6, 2.0))
    assert found == pytest.approx({0.5: 2 / 6, 0.68: 3 / 6, 0.9: 4 / 6, 0.95: 5 / 6})


def test_gaussian_coverage_of_gaussian_quantiles_is_the_level() -> None:
    errors = stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000)
    for level, value in metrics.gaussian_coverage(errors, np.ones(10_000)).items():
        assert value == pytest.approx(level, abs=2e-4)


def test_student_coverage_of_student_quantiles_is_the_level() -> None:
    errors = 0.3 * stats.t(4.0).ppf((np.arange(10_000) + 0.5) / 10_000)
    student = metrics.student_coverage(errors, np.full(10_000, 0.3), 4.0)
    gaussian = metrics.gaussian_coverage(errors, np.full(10_000, 0.3))
    for level, value in student.items():
        assert value == pytest.approx(level, abs=2e-4)
    assert gaussian[0.95] < 0.93  # heavier tails: the normal interval is too narrow


def test_auc_equals_the_count_of_pairs_with_ties() -> None:
    errors, sigma = RNG.normal(size=60), RNG.integers(1, 6, size=60).astype(float)
    above, below = sigma[np.abs(errors) > 0.8], sigma[np.abs(errors) <= 0.8]
    pairs = np.sign(above[:, None] - below[None, :])
    assert metrics.auc(errors, sigma, 0.8).value == pytest.approx(np.mean(0.5 + 0.5 * pairs))


def test_auc_of_perfect_and_inverted_ranking() -> None:
    errors = np.array([0.1, -0.2, 0.9, -1.0])
    assert metrics.auc(errors, np.abs(errors), 0.5).value == 1.0
    assert metrics.auc(errors, -np.abs(errors), 0.5).value == 0.0
    assert metrics.auc(errors, np.ones(4), 0.5).value == 0.5


@pytest.mark.parametrize(("limit", "side"), [(2.0, "above"), (0.0, "below")])
def test_auc_of_one_class_is_nan_with_a_reason(limit: float, side: str) -> None:
    found = metrics.auc([0.1, 1.0], [1.0, 2.0], limit)
    assert np.isnan(found.value) and side in found.reason


def test_median_auc_is_defined_when_no_error_is_large() -> None:
    found = metrics.median_auc([0.1, -0.2, 0.3, -0.4], [1.0, 2.0, 3.0, 4.0])
    assert found.limit == pytest.approx(0.25) and found.value == 1.0
    assert np.isnan(metrics.median_auc([], []).value)


def test_mean_log_likelihood_of_a_normal_is_minus_its_entropy() -> None:
    sigma = 0.7
    expected, _ = integrate.quad(
        lambda x: stats.norm.pdf(x, scale=sigma) * stats.norm.logpdf(x, scale=sigma), -8, 8
    )
    assert expected == pytest.approx(-0.5 * np.log(2 * np.pi * np.e * sigma**2), abs=1e-9)
    errors = sigma * stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    assert metrics.mean_log_likelihood(errors, sigma) == pytest.approx(expected, abs=1e-3)


def test_mean_log_likelihood_is_largest_at_the_true_sigma() -> None:
    errors = RNG.normal(size=500)
    values = [metrics.mean_log_likelihood(errors, s * metrics.rmse(errors)) for s in (0.8, 1, 1.2)]
    assert values[1] == max(values)


def test_error_curve_keeps_a_constant_and_sorts_by_sigma() -> None:
    sigma = RNG.permutation(np.linspace(0.1, 1.0, 90))
    curve = metrics.error_curve(np.where(sigma > 0.5, -2.0, 2.0), sigma)
    assert np.allclose(curve.error, 2.0)
    assert np.all(np.diff(curve.sigma) > 0.0)


def test_error_curve_smooths_a_step_over_a_ninth_of_the_list() -> None:
    n, sigma = 1800, np.arange(1800.0)
    curve = metrics.error_curve((sigma >= 900).astype(float), sigma)
    expected = stats.norm.cdf((sigma - 899.5) / (n / 9))
    assert np.max(np.abs(curve.error - expected)[200:-200]) < 2e-3


@pytest.mark.parametrize("n", [0, 1])
def test_error_curve_of_too_few_points_is_the_points(n: int) -> None:
    assert metrics.error_curve(np.ones(n), np.ones(n)).error.tolist() == [1.0] * n
