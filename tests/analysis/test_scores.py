"""Scores of two made-up models against a truth whose errors are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from bnnflow.analysis.scores import Truth, accuracy, uncertainty
from bnnflow.records import Calibration, Prediction


def predictions(energies: np.ndarray, std: float, force_error: float) -> tuple[Prediction, ...]:
    forces = np.full((2, 3), force_error)
    return tuple(
        Prediction(energy, std, std, np.array([energy]), forces, np.abs(forces))
        for energy in energies
    )


TRUTH = Truth(np.array([-10.0, -11.0, -12.0, -13.0]), tuple(np.zeros((2, 3)) for _ in range(4)))
ERRORS = np.array([1.0, 3.0, 1.0, 3.0])


def test_accuracy_by_hand() -> None:
    found = accuracy(predictions(TRUTH.energies + ERRORS, 1.0, -0.5), TRUTH)
    assert found.energy_rmse == pytest.approx(np.sqrt(5.0))
    assert found.energy_mae == pytest.approx(2.0)
    assert found.energy_rmse_centred == found.energy_mae_centred == pytest.approx(1.0)
    assert found.force_rmse == found.force_mae == pytest.approx(0.5)


def test_stress_errors_are_those_of_frames_that_have_a_stress() -> None:
    stress = np.array([0.1, 0.2, 0.3, 0.0, 0.0, 0.0])
    said = [
        replace(prediction, stress=stress) for prediction in predictions(TRUTH.energies, 1.0, 0.0)
    ]
    truth = replace(TRUTH, stresses=(stress - 0.02, None, stress + 0.02, None))
    found = accuracy(said, truth)
    assert (found.stress_rmse, found.stress_mae) == pytest.approx((0.02, 0.02))
    assert np.isnan(accuracy(said, TRUTH).stress_rmse)


def test_accuracy_refuses_lists_of_different_length() -> None:
    with pytest.raises(ValueError, match=r"."):
        accuracy(predictions(TRUTH.energies[:3], 1.0, 0.0), TRUTH)


def test_uncertainty_by_hand() -> None:
    calibration = Calibration(shape=1.5, scale=10.0, count=2, sum_squares=5.0)
    said = predictions(TRUTH.energies + ERRORS, 2.0, 0.0)
    found = uncertainty(said, TRUTH, threshold=2.0, calibration=calibration)
    assert (found.above.count, found.above.total) == (2, 4)
    assert found.coverage_gaussian == {0.5: 0.5, 0.68: 0.5, 0.9: 1.0, 0.95: 1.0}
    # s = 2 sqrt(12.5 / 2.5) = 4.47, nu = 5: 0.5 -> 3.25 eV, so all four are inside
    assert found.coverage_student == dict.fromkeys((0.5, 0.68, 0.9, 0.95), 1.0)
    assert found.auc_threshold.value == 0.5  # one sigma for all: no ranking
    assert found.log_likelihood == pytest.approx(stats.norm.logpdf(ERRORS, scale=2.0).mean())
    assert found.mean_sigma == 2.0
