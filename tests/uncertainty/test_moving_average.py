"""The calibration that forgets: against closed forms, Bayes' rule by quadrature, and simulation."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special, stats

from bnnflow.records import Calibration
from bnnflow.uncertainty import (
    degrees_of_freedom,
    largest_trusted_std,
    predictive_std,
    probability_within,
    update,
)

K = 0.0434


def after(squares, decay: float, shape: float = 1.5, scale: float = 10.0) -> Calibration:
    """The calibration after errors whose squares, over sigma*², are these."""
    calibration = Calibration(shape, scale, decay=decay)
    for square in squares:
        calibration = update(calibration, error=0.3 * float(np.sqrt(square)), std=0.3)
    return calibration


def test_decay_one_is_the_rule_without_an_average():
    squares = np.random.default_rng(0).chisquare(1, 40)
    plain = Calibration(1.5, 10.0)
    for square in squares:
        plain = update(plain, error=0.3 * float(np.sqrt(square)), std=0.3)
    assert after(squares, 1.0) == plain
    assert isinstance(plain.count, int) and plain.count == 40


def test_an_error_counts_by_how_many_came_after_it():
    squares, decay = np.random.default_rng(1).chisquare(1, 12), 0.8
    weights = decay ** np.arange(12)[::-1]
    found = after(squares, decay)
    assert found.count == pytest.approx(weights.sum())
    assert found.sum_squares == pytest.approx(weights @ squares)
    assert degrees_of_freedom(found) == pytest.approx(3.0 + (1 - decay**12) / (1 - decay))
    expected = np.sqrt((10 + weights @ squares / 2) / (1.5 + weights.sum() / 2))
    assert float(predictive_std(found, std=1.0)) == pytest.approx(expected)


def test_effective_count_tends_to_the_labels_of_the_average_and_never_exceeds_them():
    counts = [after(np.ones(n), 1 - 1 / 20).count for n in (1, 10, 100, 1000)]
    assert counts == sorted(counts)
    assert counts[-1] == pytest.approx(20.0) and counts[-1] <= 20.0


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_posterior_is_bayes_rule_with_tempered_likelihoods(decay):
    """Prior times likelihoods to the power of their weights, normalised by quadrature."""
    rng = np.random.default_rng(5)
    squares = 4.0 * rng.chisquare(1, 9)
    lam = np.geomspace(1e-5, 1e3, 40_001)
    log_posterior = stats.gamma.logpdf(lam, 3.0, scale=1 / 10.0)
    for age, square in enumerate(squares[::-1]):
        log_posterior += decay**age * stats.norm.logpdf(np.sqrt(square), scale=1 / np.sqrt(lam))
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= integrate.simpson(weight, x=lam)
    within = special.erf(K / (0.2 * K) * np.sqrt(lam / 2))
    expected = integrate.simpson(weight * within, x=lam)
    found = probability_within(after(squares, decay, 3.0), std=0.2 * K, threshold=K)
    assert float(found) == pytest.approx(expected, abs=1e-7)


def test_a_change_point_is_followed():
    """Errors are as predicted, then four times larger: squares 1, then 16."""
    decay, before, n_after = 1 - 1 / 15, 200, 30
    squares = np.r_[np.ones(before), np.full(n_after, 16.0)]
    moving, plain = after(squares, decay), after(squares, 1.0)
    weight = decay**n_after  # of all that came before, in the long run
    assert moving.sum_squares / moving.count == pytest.approx(16 - 15 * weight, rel=1e-4)
    assert plain.sum_squares / plain.count == pytest.approx((before + 16 * n_after) / 230)
    assert largest_trusted_std(moving, threshold=K) < 0.6 * largest_trusted_std(plain, threshold=K)
    back = replace(moving)
    for _ in range(60):
        back = update(back, error=1.0, std=1.0)
    assert back.sum_squares / back.count == pytest.approx(1.0, abs=0.3)


@pytest.mark.parametrize("n_labels", [3.0, 10.0, 40.0])
def test_share_within_the_threshold_is_not_below_the_confidence(n_labels):
    """Forgetting widens the Student-t, so that its noisier M_n costs no confidence."""
    rng = np.random.default_rng(6)
    a, b, draws, inside = 3.0, 10.0, 3000, 0
    for precision in rng.gamma(a, 1 / b, draws):
        squares = rng.chisquare(1, 60) / precision
        calibration = after(squares, 1 - 1 / n_labels, a, b)
        limit = largest_trusted_std(calibration, threshold=K, confidence=0.95)
        inside += abs(rng.normal(0.0, limit / np.sqrt(precision))) < K
    assert inside >= stats.binom.ppf(0.001, draws, 0.95)
