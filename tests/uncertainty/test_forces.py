"""The force criterion: one atom against quadrature, all atoms against simulated worlds."""

import math

import numpy as np
import pytest
from force_worlds import CONFIDENCE, DRAWS, A, B, K, any_beyond, random_stds
from scipy import integrate, stats

from bnnflow.records import Calibration, Estimates, ForceRegion, ForceVerdict, Reason
from bnnflow.uncertainty import (
    decide,
    degrees_of_freedom,
    energy_calibration,
    force_calibrations,
    force_length_std,
    force_limits,
    force_ratio,
    inflation,
    judge_forces,
    largest_trusted_force_std,
    largest_trusted_std,
    probability_force_within,
    update,
    update_forces,
)

CALIBRATIONS = [
    Calibration(1.5, 10.0),
    Calibration(1.5, 10.0, count=7, sum_squares=20.0),
    Calibration(3.0, 10.0, count=300, sum_squares=250.0),
]


def tail(weights: np.ndarray, x: float, nu: float) -> float:
    """P(sum_c w_c z_c² > lambda x) for lambda ~ Gamma(nu/2, nu/2), by Imhof's formula (1961)."""
    coefficients = np.array([*weights, -x / nu])
    degrees = np.array([*np.ones(len(weights)), nu])

    def integrand(log_u: float) -> float:
        turned = coefficients * np.exp(log_u)
        angle = 0.5 * float(degrees @ np.arctan(turned))
        return math.sin(angle) * math.exp(-0.25 * float(degrees @ np.log1p(turned**2)))

    return 0.5 + integrate.quad(integrand, -45, 25, limit=2000, epsabs=1e-11)[0] / np.pi


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("ratio", [2.0, 5.0, 30.0])
def test_probability_is_that_of_the_worst_number_of_directions(calibration, ratio):
    std, nu = K / (ratio * inflation(calibration)), degrees_of_freedom(calibration)
    tails = [tail(np.full(m, 1 / m), ratio**2, nu) for m in (1, 2, 3)]
    found = 1.0 - probability_force_within(calibration, std=std, limit=K)
    assert found == pytest.approx(max(tails), rel=1e-4, abs=1e-8)
    assert tails[0] == max(tails) or found > 0.1


@pytest.mark.parametrize("nu", [1.0, 2.0, 3.0, 5.0, 20.0, 200.0])
@pytest.mark.parametrize("n_atoms", [1, 9, 160])
def test_no_sharing_out_over_directions_is_worse_than_the_bound(nu, n_atoms):
    """All weights in a triangle, the forms that the bound takes for the worst among them."""
    allowed = (1.0 - CONFIDENCE) / n_atoms
    calibration = Calibration(nu / 2, 1.0)
    std = largest_trusted_force_std(calibration, limit=K, n_atoms=n_atoms)
    x = (K / (std * inflation(calibration))) ** 2
    shares = [
        tail(np.array([first, second, 1 - first - second]), x, nu)
        for first in np.linspace(1 / 3, 1, 7)
        for second in np.linspace((1 - first) / 2, min(first, 1 - first), 3)
    ]
    assert max(shares) == pytest.approx(allowed, rel=1e-3)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("n_atoms", [1, 9, 160])
def test_the_largest_trusted_std_is_the_inverse(calibration, n_atoms):
    std = largest_trusted_force_std(calibration, limit=K, n_atoms=n_atoms)
    within = probability_force_within(calibration, std=std, limit=K)
    assert 1.0 - within == pytest.approx(0.05 / n_atoms, rel=1e-6)


def test_in_the_far_tail_the_rule_of_one_atom_is_that_of_the_energy():
    for calibration in CALIBRATIONS[1:]:
        found = largest_trusted_force_std(calibration, limit=K)
        assert found == pytest.approx(largest_trusted_std(calibration, threshold=K))


def test_one_atom_at_its_limit_is_beyond_it_in_five_of_a_hundred_worlds():
    """Errors as the rule takes them, past and future: the rate is met, not only kept."""
    rng, worlds = np.random.default_rng(7), 3000
    beyond = sum(any_beyond(rng, DRAWS["along bonds"], 1, 5) for _ in range(worlds))
    low, high = stats.binom.interval(0.999, worlds, 1.0 - CONFIDENCE)
    assert low <= beyond <= high


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize(("n_atoms", "n_labels"), [(9, 0), (9, 12), (60, 6)])
def test_family_wise_rate_is_kept_however_errors_hang_together(draw, n_atoms, n_labels):
    rng, worlds = np.random.default_rng(8), 800
    beyond = sum(any_beyond(rng, DRAWS[draw], n_atoms, n_labels) for _ in range(worlds))
    assert beyond <= stats.binom.ppf(0.999, worlds, 1.0 - CONFIDENCE)


def test_family_wise_rate_of_atoms_that_share_only_the_precision():
    """1 - E[(1 - p(lambda))^n] by quadrature: conservative, and what worlds show."""
    n_atoms, worlds = 9, 4000
    std = largest_trusted_force_std(Calibration(A, B), limit=K, n_atoms=n_atoms)
    lam = np.geomspace(1e-8, 1e2, 20_001)
    each = 2 * stats.norm.sf(K / std * np.sqrt(lam))
    density = stats.gamma.pdf(lam, A, scale=1 / B)
    exact = integrate.simpson(density * (1 - (1 - each) ** n_atoms), x=lam)
    assert integrate.simpson(density * each, x=lam) == pytest.approx(0.05 / n_atoms, rel=1e-4)
    assert 0.02 < exact < 0.05
    rng = np.random.default_rng(9)
    beyond = sum(any_beyond(rng, DRAWS["along bonds"], n_atoms, 0) for _ in range(worlds))
    low, high = stats.binom.interval(0.999, worlds, exact)
    assert low <= beyond <= high


def test_std_of_an_atom_does_not_depend_on_the_axes():
    members = np.random.default_rng(3).normal(size=(8, 1, 3)) * np.array([0.1, 0.02, 0.4])
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    one, other = (force_length_std(each.std(axis=0)) for each in (members, members @ turn))
    np.testing.assert_allclose(one, other)


def test_a_label_counts_once_with_the_mean_over_its_atoms():
    rng = np.random.default_rng(5)
    errors, stds = rng.normal(size=(7, 3)), rng.uniform(0.5, 2.0, (7, 3))
    found = update_forces(Calibration(1.5, 10.0), errors=errors, forces_std=stds)
    ratios = np.sum(errors**2, axis=1) / np.sum(stds**2, axis=1)
    assert found.count == 1
    assert found.sum_squares == pytest.approx(ratios.mean())
    with pytest.raises(ValueError, match="cannot enter the calibration"):
        update_forces(Calibration(1.5, 10.0), errors=errors, forces_std=0.0 * stds)


def test_regions_have_limits_and_calibrations_of_their_own_and_share_the_family():
    regions = (ForceRegion("proton", (4,), 0.1), ForceRegion("rest", (0, 1, 2), 0.4))
    calibrations = CALIBRATIONS[:2]
    limits = force_limits(regions, calibrations, n_atoms=6, confidence=0.9)
    expected = [
        largest_trusted_force_std(calibration, limit=limit, confidence=0.9, n_atoms=4)
        for calibration, limit in zip(calibrations, (0.1, 0.4), strict=True)
    ]
    assert limits.tolist() == [*[expected[1]] * 3, np.inf, expected[0], np.inf]
    assert force_limits((), (), n_atoms=6, confidence=0.9) is None


def test_the_worst_atom_is_the_nearest_to_its_own_limit():
    regions = (ForceRegion("proton", (4,), 0.1), ForceRegion("rest", (0, 1, 2), 0.4))
    limits = force_limits(regions, CALIBRATIONS[:2], n_atoms=6, confidence=0.95)
    stds = random_stds(np.random.default_rng(1), 6)
    stds *= (0.5 * np.where(np.isfinite(limits), limits, 1e3) / force_length_std(stds))[:, None]
    stds[4] *= 1.6
    found = judge_forces(regions, CALIBRATIONS[:2], limits, stds)
    assert found.atom == 4 and found.limit == limits[4]
    assert found.std == pytest.approx(0.8 * limits[4])
    assert force_ratio(stds, limits) == found.std / found.limit
    assert found.probability == probability_force_within(CALIBRATIONS[0], std=found.std, limit=0.1)


def decision(std: float, force: ForceVerdict | None, *, audit: bool = False) -> tuple[bool, Reason]:
    found = decide(
        Calibration(1.5, 10.0), step=1, time_fs=0.5, std=std, threshold=K, force=force, audit=audit
    )
    assert found.force == force
    return found.ask, found.reason


def test_energy_asks_before_forces_and_forces_before_an_audit():
    sure, at = ForceVerdict(3, 0.1, 0.2, 0.99), ForceVerdict(3, 0.2, 0.2, 0.99)
    unsure, broken = ForceVerdict(3, 0.21, 0.2, 0.9), ForceVerdict(3, math.nan, 0.2, math.nan)
    small, large = 1e-3 * K, 10 * K
    assert decision(small, None) == decision(small, sure) == (False, Reason.CERTAIN)
    assert decision(small, at) == (False, Reason.CERTAIN)
    assert decision(small, unsure) == decision(small, broken) == (True, Reason.UNCERTAIN_FORCES)
    assert decision(large, unsure, audit=True) == (True, Reason.UNCERTAIN)
    assert decision(small, unsure, audit=True) == (True, Reason.UNCERTAIN_FORCES)
    assert decision(small, sure, audit=True) == (True, Reason.AUDIT)


def test_the_rule_uses_requested_labels_audits_or_both():
    requested = update(Calibration(1.5, 10.0), error=0.1, std=0.1)
    audit = update(update(Calibration(1.5, 10.0), error=0.2, std=0.1), error=0.0, std=0.1)
    assert energy_calibration(requested, audit, "requested") is requested
    assert energy_calibration(requested, audit, "audit") is audit
    assert energy_calibration(requested, None, "requested") is requested
    both = energy_calibration(requested, audit, "both")
    assert (both.shape, both.scale, both.count) == (1.5, 10.0, 3)
    assert both.sum_squares == pytest.approx(5.0)
    estimates = Estimates(audit, (requested, audit), (audit, requested))
    assert force_calibrations(estimates, "requested") == (requested, audit)
    assert force_calibrations(estimates, "audit") == (audit, requested)
    assert force_calibrations(Estimates(None, (requested,)), "requested") == (requested,)
