"""The figures of one update on the test frames (METHOD 4, METHOD 8), in kcal/mol and Å."""

from __future__ import annotations

import numpy as np

from bnnflow.analysis import metrics
from bnnflow.records import FloatArray
from bnnflow.uncertainty import reduce_members
from bnnflow.units import KCAL_PER_MOL, STRESS_STD
from heldout_study.predictions import Predictions


def figures(found: Predictions) -> dict[str, float]:
    """Errors and how well the stds say how large they are, for energies and force components.

    NaN where a figure is not defined: AUC and spread of one member alone.
    """
    mean, std = moments(found)
    result: dict[str, float] = {}
    for name in ("energy", "force"):
        result |= {f"{name}_{key}": value for key, value in _judged(mean[name], std[name]).items()}
    result["energy_rmse_centred"] = metrics.rmse(metrics.centred(mean["energy"]))
    if len(found.energy) > 1:
        result["energy_spread_over_error"] = _ratio(_spread(found.energy), mean["energy"])
        result["force_spread_over_error"] = _ratio(_spread(found.forces), mean["force"])
    return result


def moments(found: Predictions) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Errors of the members' mean and the moment-matched stds, kcal/mol(/Å), by quantity."""
    reduced = [
        reduce_members(
            energy=found.energy[:, frame],
            forces=found.forces[:, frame],
            force_std=found.force_std[:, frame],
            stress=None,
            energy_std_floor=found.energy_std,
            stress_std=STRESS_STD,
        )
        for frame in range(len(found.energy_truth))
    ]
    energy = np.array([one.energy for one in reduced]) - found.energy_truth
    force = np.stack([one.forces for one in reduced]) - found.forces_truth
    errors = {"energy": energy / KCAL_PER_MOL, "force": force / KCAL_PER_MOL}
    stds = {
        "energy": np.array([one.energy_std for one in reduced]) / KCAL_PER_MOL,
        "force": np.stack([one.forces_std for one in reduced]) / KCAL_PER_MOL,
    }
    return errors, {name: np.broadcast_to(std, errors[name].shape) for name, std in stds.items()}


def frame_mean_squares(found: Predictions) -> FloatArray:
    """(f,) mean square force error of each frame, (kcal/mol/Å)^2."""
    errors, _ = moments(found)
    return np.asarray(np.mean(errors["force"] ** 2, axis=(1, 2)))


def _judged(errors: FloatArray, sigma: FloatArray) -> dict[str, float]:
    flat, std = errors.ravel(), sigma.ravel()
    result = {
        "rmse": metrics.rmse(flat),
        "log_likelihood": metrics.mean_log_likelihood(flat, std),
        "auc": metrics.median_auc(flat, std).value,
        "mean_std": float(std.mean()),
        "std_over_error": _ratio(std, flat),
    }
    coverage = metrics.gaussian_coverage(flat, std)
    return result | {f"coverage_{100 * level:.0f}": value for level, value in coverage.items()}


def _spread(members: FloatArray) -> FloatArray:
    return np.asarray(members.std(axis=0, ddof=1)) / KCAL_PER_MOL


def _ratio(sigma: FloatArray, errors: FloatArray) -> float:
    return metrics.rmse(sigma) / metrics.rmse(errors)
