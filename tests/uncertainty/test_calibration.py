import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from bnnflow.records import Calibration
from bnnflow.uncertainty import (
    degrees_of_freedom,
    largest_trusted_std,
    predictive_std,
    probability_within,
    update,
)

K = 0.0434  # 1 kcal/mol in eV
PRIORS = {"mace": (1.5, 10.0), "nequip": (3.0, 10.0)}

states = st.builds(
    lambda a, b, n, m: Calibration(shape=a, scale=b, count=n, sum_squares=n * m),
    a=st.floats(0.5, 20.0),
    b=st.floats(0.5, 50.0),
    n=st.integers(0, 10_000),
    m=st.floats(1e-3, 1e3),
)


def integrated_probability(calibration: Calibration, std: float) -> float:
    """P(|e| < K) by quadrature of the Gamma-weighted normal, over log lambda."""
    shape = calibration.shape + calibration.count / 2
    rate = calibration.scale + calibration.sum_squares / 2
    precision = stats.gamma(shape, scale=1.0 / rate)

    def integrand(x: float) -> float:
        lam = np.exp(x)
        return precision.pdf(lam) * lam * special.erf(K / std * np.sqrt(lam / 2))

    low, high = np.log(precision.ppf(1e-16)), np.log(precision.isf(1e-16))
    middle = np.log(precision.median())
    parts = [(low, middle), (middle, high)]
    return sum(integrate.quad(integrand, *part, epsabs=1e-12, limit=400)[0] for part in parts)


def published_probability(calibration: Calibration, std: float) -> float:
    """The published 2F1 form, which can be evaluated only where its last argument is small."""
    nu = 2 * calibration.shape + calibration.count
    rate = calibration.scale + calibration.sum_squares / 2
    log_ratio = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2)
    x = K / (std * np.sqrt(2 * rate))
    series = special.hyp2f1(0.5, (nu + 1) / 2, 1.5, -(x**2))
    return 2 * x / np.sqrt(np.pi) * np.exp(log_ratio) * series


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("count", [0, 1, 10, 63, 350, 2000])
@pytest.mark.parametrize("mean_square", [0.05, 1.0, 26.0])
@pytest.mark.parametrize("relative_std", [1e-4, 0.01, 0.1, 0.3, 1.0, 10.0])
def test_probability_is_the_integral_over_lambda(prior, count, mean_square, relative_std):
    calibration = Calibration(*PRIORS[prior], count=count, sum_squares=count * mean_square)
    std = relative_std * K
    probability = float(probability_within(calibration, std=std, threshold=K))
    assert probability == pytest.approx(integrated_probability(calibration, std), abs=2e-9)


@pytest.mark.parametrize("count", [0, 5, 40])
@pytest.mark.parametrize("relative_std", [0.1, 0.2, 0.5, 2.0])
def test_probability_equals_the_published_form_where_that_works(count, relative_std):
    calibration = Calibration(1.5, 10.0, count=count, sum_squares=0.9 * count)
    std = relative_std * K
    published = published_probability(calibration, std)
    assert np.isfinite(published)
    assert float(probability_within(calibration, std=std, threshold=K)) == pytest.approx(
        published, abs=5e-11
    )


def test_probability_is_known_at_nu_two():
    """T_2 has a closed form: 2 T_2(t) - 1 = t / sqrt(2 + t²)."""
    calibration = Calibration(shape=1.0, scale=1.0)
    for ratio in (0.1, 1.0, 7.0):
        probability = float(probability_within(calibration, std=K / ratio, threshold=K))
        assert probability == pytest.approx(ratio / np.sqrt(2 + ratio**2), abs=1e-14)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(states, st.floats(1e-9, 1e9))
def test_probability_is_finite_and_within_bounds_everywhere(calibration, relative_std):
    probability = float(probability_within(calibration, std=relative_std * K, threshold=K))
    assert 0.0 <= probability <= 1.0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(states, st.floats(0.5, 0.999))
def test_largest_trusted_std_is_the_inverse(calibration, confidence):
    limit = largest_trusted_std(calibration, threshold=K, confidence=confidence)
    probability = float(probability_within(calibration, std=limit, threshold=K))
    assert probability == pytest.approx(confidence, abs=1e-9)
    below, above = probability_within(calibration, std=np.array([0.99, 1.01]) * limit, threshold=K)
    assert below > confidence > above


def test_arrays_keep_their_shape_and_non_finite_stds_are_never_trusted():
    calibration = Calibration(1.5, 10.0)
    std = np.array([[0.0, 0.1 * K], [np.inf, np.nan]])
    probability = probability_within(calibration, std=std, threshold=K)
    assert probability.shape == std.shape
    assert probability[0, 0] == 1.0
    assert probability[1, 0] == 0.0
    assert np.isnan(probability[1, 1])


@pytest.mark.parametrize("prior", PRIORS)
def test_posterior_is_bayes_rule_on_a_grid(prior):
    """Prior times likelihood, normalised by quadrature, gives the same predictive distribution."""
    rng = np.random.default_rng(5)
    a, b = PRIORS[prior]
    stds = rng.uniform(0.05, 0.5, 12) * K
    errors = rng.normal(0.0, 2.0, 12) * stds
    calibration = Calibration(a, b)
    for error, std in zip(errors, stds, strict=True):
        calibration = update(calibration, error=float(error), std=float(std))
    lam = np.geomspace(1e-5, 1e3, 40_001)
    log_posterior = stats.gamma.logpdf(lam, a, scale=1 / b)
    for error, std in zip(errors, stds, strict=True):
        log_posterior += stats.norm.logpdf(error, scale=std / np.sqrt(lam))
    weight = np.exp(log_posterior - log_posterior.max())
    weight /= integrate.simpson(weight, x=lam)
    std = 0.2 * K
    within = special.erf(K / std * np.sqrt(lam / 2))
    expected = integrate.simpson(weight * within, x=lam)
    assert float(probability_within(calibration, std=std, threshold=K)) == pytest.approx(
        expected, abs=1e-7
    )


def test_share_of_errors_within_the_threshold_is_the_confidence():
    """Errors drawn from the model itself, each judged at the limit its history allows."""
    rng = np.random.default_rng(6)
    a, b, draws = 3.0, 10.0, 4000
    inside = 0
    for precision in rng.gamma(a, 1 / b, draws):
        calibration = Calibration(a, b)
        for z in rng.normal(0.0, 1.0, 5) / np.sqrt(precision):
            calibration = update(calibration, error=float(z) * 0.3, std=0.3)
        limit = largest_trusted_std(calibration, threshold=K, confidence=0.8)
        inside += abs(rng.normal(0.0, limit / np.sqrt(precision))) < K
    low, high = stats.binom.interval(0.999, draws, 0.8)
    assert low <= inside <= high


def test_predictive_std_tends_to_the_observed_ratio():
    calibration = Calibration(1.5, 10.0)
    assert degrees_of_freedom(calibration) == 3.0
    assert float(predictive_std(calibration, std=1.0)) == pytest.approx(np.sqrt(10.0 / 1.5))
    many = Calibration(1.5, 10.0, count=10**7, sum_squares=4.0 * 10**7)
    assert float(predictive_std(many, std=1.0)) == pytest.approx(2.0, rel=1e-5)


def test_update_adds_the_scaled_square():
    calibration = update(Calibration(1.5, 10.0), error=-0.06, std=0.02)
    calibration = update(calibration, error=0.01, std=0.02)
    assert calibration.count == 2
    assert calibration.sum_squares == pytest.approx(9.25)
    assert (calibration.shape, calibration.scale) == (1.5, 10.0)


@pytest.mark.parametrize(
    ("error", "std"), [(np.nan, 0.1), (np.inf, 0.1), (0.1, 0.0), (0.1, np.nan), (0.1, -0.1)]
)
def test_update_refuses_what_would_spoil_it(error, std):
    with pytest.raises(ValueError, match="cannot enter the calibration"):
        update(Calibration(1.5, 10.0), error=error, std=std)
