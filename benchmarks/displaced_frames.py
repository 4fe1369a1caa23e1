"""A run's newest ensemble and its foundation model on displaced frames of its crystal, which no run
has seen: `python benchmarks/displaced_frames.py runs/silicon --folder displaced`.

Works from the first ensemble on. Energies are compared on the scale of the run's first label.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from bnnflow import tasks
from bnnflow.analysis.run import Run, load
from bnnflow.analysis.scores import Accuracy, Truth, accuracy, energy_errors
from bnnflow.materials import displaced
from bnnflow.records import (
    EnsembleRef,
    Failure,
    Label,
    LabelRequest,
    Prediction,
    PredictRequest,
    Structure,
)
from bnnflow.units import GPA, to_kcal_per_mol


def main() -> None:
    """Label frames, predict them twice, and print errors in kcal/mol, Å and GPa."""
    options = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    options.add_argument("run", type=Path)
    options.add_argument("--folder", type=Path, required=True, help="where the labels go, or are")
    options.add_argument("--frames", type=int, default=5)
    options.add_argument("--displacement-A", type=float, default=0.1, help="std by coordinate")
    chosen = options.parse_args()
    run = load(chosen.run.resolve())
    sites = run.config.material.load()
    frames = [
        displaced(sites, std=chosen.displacement_A, seed=seed) for seed in range(chosen.frames)
    ]
    labels = [
        labelled(run, frame, chosen.folder.resolve() / f"{number:04d}")
        for number, frame in enumerate(frames)
    ]
    for name, ensemble in (("foundation", None), ("fine-tuned", run.ensemble)):
        print(name, row(run, ensemble, labels))


def labelled(run: Run, frame: Structure, folder: Path) -> Label:
    """The reference's answer; one that lies in the folder already is taken."""
    request = LabelRequest(
        run.config.reference.spec(), frame, str(folder), run.config.reference.handling()
    )
    outcome = tasks.label(request)
    if isinstance(outcome, Failure):
        raise SystemExit(f"no label: {outcome.message}")
    return outcome


def row(run: Run, ensemble: EnsembleRef | None, labels: list[Label]) -> str:
    """Errors of one model, and the mean sigma* of its energies."""
    structures = tuple(label.structure for label in labels)
    request = PredictRequest(run.config.potential.record(), ensemble, run.floor, structures)
    found = tasks.predict(request)
    if isinstance(found, Failure):
        raise SystemExit(f"no prediction: {found.message}")
    shift = run.data.state.energy_shift or 0.0
    truth = Truth(
        np.array([label.energy for label in labels]) + shift,
        tuple(label.forces for label in labels),
        tuple(label.stress for label in labels),
    )
    return said(accuracy(found, truth), found, truth)


def said(errors: Accuracy, found: tuple[Prediction, ...], truth: Truth) -> str:
    """In the user's units."""
    sigma = np.array([prediction.energy_std for prediction in found])
    inside = np.abs(energy_errors(found, truth)) < sigma
    return (
        f"energy RMSE {to_kcal_per_mol(errors.energy_rmse):.2f}, mean error removed "
        f"{to_kcal_per_mol(errors.energy_rmse_centred):.2f}, forces "
        f"{to_kcal_per_mol(errors.force_rmse):.2f}, stress {errors.stress_rmse / GPA:.2f} GPa; "
        f"sigma* {to_kcal_per_mol(sigma.mean()):.2f}, {inside.sum()} of {inside.size} within it"
    )


if __name__ == "__main__":
    main()
