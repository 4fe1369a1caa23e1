"""What a validation found: both models against the reference, as figures and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnnflow.analysis import metrics
from bnnflow.analysis.draw import Frames
from bnnflow.analysis.run import Run
from bnnflow.analysis.scores import Accuracy, Truth, Uncertainty, accuracy, uncertainty
from bnnflow.analysis.status import share_figures, share_text
from bnnflow.records import EnsembleRef, Label, Prediction
from bnnflow.units import GPA, to_kcal_per_mol

VALIDATION_FILE = "validation.json"
"""Where a run folder keeps the figures of its last validation."""


@dataclass(frozen=True, eq=False)
class ValidationResult:
    """How good the models are on random unlabelled frames. Energies in eV of the whole cell.

    requested: frames asked for; failures: why a drawn frame has no label; threshold: K, eV;
    *_above: share of |error| > K; ratio: fine-tuned over foundation energy RMSE, mean error
    removed; predictions of both models and `truth` are in the order of `frames`.
    """

    requested: int
    frames: Frames
    failures: tuple[str, ...]
    seed: int
    threshold: float
    ensemble_version: int
    truth: Truth
    tuned: tuple[Prediction, ...]
    foundation: tuple[Prediction, ...]
    tuned_accuracy: Accuracy
    foundation_accuracy: Accuracy
    tuned_uncertainty: Uncertainty
    foundation_above: metrics.Share
    seconds: float

    @property
    def ratio(self) -> float:
        """Energy RMSE with the mean error removed, fine-tuned over foundation."""
        ours = self.tuned_accuracy.energy_rmse_centred
        theirs = self.foundation_accuracy.energy_rmse_centred
        return ours / theirs if theirs > 0.0 else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """All figures, JSON-able; what is not defined is None. The content of validation.json."""
        judged = self.tuned_uncertainty
        return {
            "frames": len(self.frames),
            "frames_requested": self.requested,
            "failures": list(self.failures),
            "seed": self.seed,
            "threshold_kcal_per_mol": to_kcal_per_mol(self.threshold),
            "ensemble_version": self.ensemble_version,
            "fine_tuned": _accuracy_figures(self.tuned_accuracy)
            | {"above_threshold": share_figures(judged.above)},
            "foundation": _accuracy_figures(self.foundation_accuracy)
            | {"above_threshold": share_figures(self.foundation_above)},
            "energy_rmse_ratio": _finite(self.ratio),
            "uncertainty": _uncertainty_figures(judged),
            "per_frame": self._per_frame(),
            "seconds": self.seconds,
        }

    def table(self) -> str:
        """The figures of both models side by side, as aligned lines."""
        figures = self.as_dict()
        rows = [("", "fine-tuned", "foundation"), *validation_rows(figures)]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows]
        head = (
            f"{len(self.frames)} of {self.requested} random unlabelled frames{self._why_fewer()}, "
            f"K = {figures['threshold_kcal_per_mol']:.3g} kcal/mol, {self.seconds:.0f} s"
        )
        ratio = f"energy RMSE, mean error removed: fine-tuned / foundation = {self.ratio:.3f}"
        return "\n".join([head, *lines, ratio, *(f"no label: {why}" for why in self.failures)])

    def _why_fewer(self) -> str:
        fewer = len(self.frames) < self.requested
        return " (no more fit, apart as they must be, or had a label)" if fewer else ""

    def _per_frame(self) -> dict[str, list[float]]:
        return {
            "step": self.frames.steps.tolist(),
            "time_fs": self.frames.times.tolist(),
            "reference_eV": self.truth.energies.tolist(),
            "fine_tuned_eV": [prediction.energy for prediction in self.tuned],
            "energy_std_eV": [prediction.energy_std for prediction in self.tuned],
            "foundation_eV": [prediction.energy for prediction in self.foundation],
        }


def judge(
    run: Run,
    ensemble: EnsembleRef,
    frames: Frames,
    labels: Sequence[Label],
    tuned: tuple[Prediction, ...],
    foundation: tuple[Prediction, ...],
) -> ValidationResult:
    """Score both models' predictions of labelled frames; the caller adds how it went about it."""
    shift = run.data.state.energy_shift or 0.0
    energies = np.array([label.energy for label in labels]) + shift
    forces, stresses = zip(*((label.forces, label.stress) for label in labels), strict=True)
    truth = Truth(energies, forces, stresses)
    off = np.array([prediction.energy for prediction in foundation]) - energies
    return ValidationResult(
        requested=len(frames),
        frames=frames,
        failures=(),
        seed=0,
        threshold=run.threshold,
        ensemble_version=ensemble.version,
        truth=truth,
        tuned=tuned,
        foundation=foundation,
        tuned_accuracy=accuracy(tuned, truth),
        foundation_accuracy=accuracy(foundation, truth),
        tuned_uncertainty=uncertainty(
            tuned, truth, threshold=run.threshold, calibration=run.calibration
        ),
        foundation_above=metrics.share_above(off, run.threshold),
        seconds=0.0,
    )


def validation_rows(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, fine-tuned value and foundation value of each figure of validation.json."""
    tuned, foundation = figures["fine_tuned"], figures["foundation"]
    names = (
        ("energy RMSE (kcal/mol)", "energy_rmse_kcal_per_mol"),
        ("energy RMSE, mean error removed (kcal/mol)", "energy_rmse_centred_kcal_per_mol"),
        ("energy MAE (kcal/mol)", "energy_mae_kcal_per_mol"),
        ("energy MAE, mean error removed (kcal/mol)", "energy_mae_centred_kcal_per_mol"),
        ("force RMSE (kcal/mol/Å)", "force_rmse_kcal_per_mol_A"),
        ("force MAE (kcal/mol/Å)", "force_mae_kcal_per_mol_A"),
        ("stress RMSE (GPa)", "stress_rmse_GPa"),
        ("stress MAE (GPa)", "stress_mae_GPa"),
    )
    rows = [
        (name, f"{tuned[key]:.3f}", f"{foundation[key]:.3f}") for name, key in names if key in tuned
    ]
    tuned_above, foundation_above = (
        share_text(model["above_threshold"]) for model in (tuned, foundation)
    )
    return [*rows, ("above K", tuned_above, foundation_above), *_judged(figures["uncertainty"])]


def _judged(figures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """How well the ensemble's sigma* fits; the foundation model has none."""
    laws = (("normal", "coverage_gaussian"), ("calibrated Student-t", "coverage_student"))
    coverage = [
        (f"coverage of central intervals, {law}",
         ", ".join(f"{value:.0%} in {level}%" for level, value in figures[key].items()), "–")
        for law, key in laws
    ]  # fmt: skip
    return [
        *coverage,
        ("AUC-ROC of σ* for |error| > K", _auc_text(figures["auc_threshold"]), "–"),
        ("AUC-ROC of σ* for |error| > median", _auc_text(figures["auc_median"]), "–"),
        ("mean log-likelihood (nats, per 1/eV)", f"{figures['log_likelihood']:.3f}", "–"),
    ]


def _auc_text(auc: Mapping[str, Any]) -> str:
    return f"not defined: {auc['reason']}" if auc["value"] is None else f"{auc['value']:.3f}"


def _accuracy_figures(found: Accuracy) -> dict[str, float]:
    energy = ("energy_rmse", "energy_mae", "energy_rmse_centred", "energy_mae_centred")
    figures = {f"{name}_kcal_per_mol": to_kcal_per_mol(getattr(found, name)) for name in energy}
    force = ("force_rmse", "force_mae")
    figures |= {f"{name}_kcal_per_mol_A": to_kcal_per_mol(getattr(found, name)) for name in force}
    stress = {f"{name}_GPa": getattr(found, name) / GPA for name in ("stress_rmse", "stress_mae")}
    return figures | {name: value for name, value in stress.items() if np.isfinite(value)}


def _uncertainty_figures(found: Uncertainty) -> dict[str, Any]:
    return {
        "coverage_gaussian": _percent(found.coverage_gaussian),
        "coverage_student": _percent(found.coverage_student),
        "auc_threshold": _auc_figures(found.auc_threshold),
        "auc_median": _auc_figures(found.auc_median),
        "log_likelihood": found.log_likelihood,
        "mean_energy_std_kcal_per_mol": to_kcal_per_mol(found.mean_sigma),
    }


def _percent(coverage: Mapping[float, float]) -> dict[str, float]:
    """JSON keys are words: 0.95 becomes "95"."""
    return {f"{100 * level:g}": value for level, value in coverage.items()}


def _auc_figures(found: metrics.Auc) -> dict[str, Any]:
    limit = to_kcal_per_mol(found.limit)
    return {"value": _finite(found.value), "limit_kcal_per_mol": limit, "reason": found.reason}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
