"""How well one model does on labelled frames: the figures that validation reports [METHOD 8]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnnflow.analysis import metrics
from bnnflow.records import Calibration, FloatArray, Prediction
from bnnflow.uncertainty import degrees_of_freedom, predictive_std


@dataclass(frozen=True, eq=False)
class Truth:
    """What the reference says of n frames, on the model's energy scale.

    energies: (n,) eV, reference plus the run's energy shift; forces: n arrays (n_atoms, 3) eV/Å;
    stresses: n arrays (6,) eV/Å³, None where the reference gives none; empty: none at all.
    """

    energies: FloatArray
    forces: tuple[FloatArray, ...]
    stresses: tuple[FloatArray | None, ...] = ()

    def __len__(self) -> int:
        return len(self.energies)


@dataclass(frozen=True)
class Accuracy:
    """Errors of one model. Energies in eV of the whole cell, forces per component in eV/Å.

    energy_*_centred: with the mean error removed, which a shift of the energy scale would do;
    stress_*: per component, eV/Å³, NaN where no frame has a stress.
    """

    energy_rmse: float
    energy_mae: float
    energy_rmse_centred: float
    energy_mae_centred: float
    force_rmse: float
    force_mae: float
    stress_rmse: float = float("nan")
    stress_mae: float = float("nan")


@dataclass(frozen=True)
class Uncertainty:
    """How well sigma* says how large the energy error is.

    above: share of |error| > K; coverage_gaussian, coverage_student: probability -> share inside
    the central interval of N(0, sigma*^2), and of the calibrated Student-t (METHOD 5);
    auc_threshold, auc_median: AUC-ROC of sigma* for |error| > K, > median; log_likelihood: mean
    over frames, nats, of a density in 1/eV.
    """

    above: metrics.Share
    coverage_gaussian: Mapping[float, float]
    coverage_student: Mapping[float, float]
    auc_threshold: metrics.Auc
    auc_median: metrics.Auc
    log_likelihood: float
    mean_sigma: float


def energy_errors(predictions: Sequence[Prediction], truth: Truth) -> FloatArray:
    """Prediction minus reference of the energy of each frame: (n,) eV."""
    predicted = np.array([prediction.energy for prediction in predictions], dtype=np.float64)
    return np.asarray(predicted - truth.energies)


def stress_errors(predictions: Sequence[Prediction], truth: Truth) -> FloatArray:
    """Prediction minus reference of all stress components that both give, eV/Å³."""
    pairs = zip(predictions, truth.stresses, strict=bool(truth.stresses))
    errors = [
        prediction.stress - reference
        for prediction, reference in pairs
        if prediction.stress is not None and reference is not None
    ]
    return np.concatenate(errors) if errors else np.zeros(0)


def accuracy(predictions: Sequence[Prediction], truth: Truth) -> Accuracy:
    """Errors of `predictions` against `truth`, frame by frame in the same order."""
    energy = energy_errors(predictions, truth)
    pairs = zip(predictions, truth.forces, strict=True)
    forces = [(prediction.forces - reference).ravel() for prediction, reference in pairs]
    force = np.concatenate(forces) if forces else np.zeros(0)
    centred = metrics.centred(energy)
    stress = stress_errors(predictions, truth)
    return Accuracy(
        energy_rmse=metrics.rmse(energy),
        energy_mae=metrics.mae(energy),
        energy_rmse_centred=metrics.rmse(centred),
        energy_mae_centred=metrics.mae(centred),
        force_rmse=metrics.rmse(force),
        force_mae=metrics.mae(force),
        stress_rmse=metrics.rmse(stress),
        stress_mae=metrics.mae(stress),
    )


def uncertainty(
    predictions: Sequence[Prediction], truth: Truth, *, threshold: float, calibration: Calibration
) -> Uncertainty:
    """Judge sigma* of `predictions`. threshold: K of the cell, eV; calibration: the run's last."""
    errors = energy_errors(predictions, truth)
    sigma = np.array([prediction.energy_std for prediction in predictions], dtype=np.float64)
    scale, degrees = predictive_std(calibration, std=sigma), degrees_of_freedom(calibration)
    return Uncertainty(
        above=metrics.share_above(errors, threshold),
        coverage_gaussian=metrics.gaussian_coverage(errors, sigma),
        coverage_student=metrics.student_coverage(errors, scale, degrees),
        auc_threshold=metrics.auc(errors, sigma, threshold),
        auc_median=metrics.median_auc(errors, sigma),
        log_likelihood=metrics.mean_log_likelihood(errors, sigma),
        mean_sigma=float(sigma.mean()) if sigma.size else float("nan"),
    )
