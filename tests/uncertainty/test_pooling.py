"""The pooled prior of calibrations against integration, known hyper-parameters, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats

from bnnflow.records import Calibration
from bnnflow.uncertainty import pooled_prior
from bnnflow.uncertainty.pooling import log_marginal
from workflows.pooling import CalibrationPool


def materials(n: int, *, shape: float, scale: float, labels: int, seed: int) -> list[Calibration]:
    """Calibrations of materials whose precision factors are Gamma(shape, scale)."""
    rng = np.random.default_rng(seed)
    factors = rng.gamma(shape, 1.0 / scale, n)
    squares = rng.chisquare(labels, n) / factors
    return [Calibration(1.5, 10.0, labels, float(each)) for each in squares]


def test_the_marginal_is_the_integral_over_the_precision_factor() -> None:
    counts, squares, shape, scale = np.array([3.0, 8.0]), np.array([4.0, 30.0]), 2.5, 4.0

    def density(factor: float, n: float, s: float) -> float:
        errors = factor ** (n / 2) * np.exp(-factor * s / 2)
        return float(errors * stats.gamma.pdf(factor, shape, scale=1.0 / scale))

    direct = [
        np.log(integrate.quad(density, 0, np.inf, args=(n, s), epsabs=0)[0])
        for n, s in zip(counts, squares, strict=True)
    ]
    ours = log_marginal(counts, squares, shape=shape, scale=scale)
    np.testing.assert_allclose(ours, direct, rtol=1e-6)


@pytest.mark.parametrize(("shape", "scale"), [(1.5, 10.0), (4.0, 1.0), (10.0, 40.0)])
def test_many_materials_tell_the_prior_they_were_drawn_from(shape: float, scale: float) -> None:
    many = materials(4000, shape=shape, scale=scale, labels=10, seed=3)
    a, b = pooled_prior(many, shape=1.5, scale=10.0)
    assert a == pytest.approx(shape, rel=0.1)
    assert b == pytest.approx(scale, rel=0.1)


def test_without_errors_it_is_the_familys() -> None:
    assert pooled_prior([], shape=1.5, scale=10.0) == (1.5, 10.0)
    unlabelled = [Calibration(7.0, 7.0)]
    assert pooled_prior(unlabelled, shape=1.5, scale=10.0) == (1.5, 10.0)


def test_one_material_moves_it_little_and_towards_its_errors() -> None:
    wide = pooled_prior([Calibration(1.5, 10.0, 3, 3 * 100.0)], shape=1.5, scale=10.0)
    calm = pooled_prior([Calibration(1.5, 10.0, 3, 3 * 0.1)], shape=1.5, scale=10.0)
    assert calm[1] / calm[0] < 10.0 / 1.5 < wide[1] / wide[0]


def test_materials_that_are_all_alike_leave_it_finite() -> None:
    alike = [Calibration(1.5, 10.0, 20, 20.0)] * 500
    a, b = pooled_prior(alike, shape=1.5, scale=10.0)
    assert np.isfinite([a, b]).all() and b / a == pytest.approx(1.0, rel=0.1)


def test_a_material_never_learns_its_prior_from_itself() -> None:
    pool = CalibrationPool(shape=1.5, scale=10.0)
    pool.put("a", Calibration(1.5, 10.0, 5, 500.0))
    own = pool.prior_for("a", Calibration(1.5, 10.0, 5, 500.0))
    assert (own.shape, own.scale, own.count) == (1.5, 10.0, 5)
    pool.put("b", Calibration(1.5, 10.0, 5, 1.0))
    assert pool.prior_for("a", own).scale / pool.prior_for("a", own).shape < 10.0 / 1.5
