"""Models that never saw a molecule, on random frames of its run: what merging is worth at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow.analysis import metrics
from bnnflow.analysis.run import load
from bnnflow.potentials import Ensemble, load_ensemble, load_foundation
from bnnflow.records import EnsembleRef, Label
from bnnflow.reference import read_label
from bnnflow.units import to_kcal_per_mol

Errors = dict[str, float]


def transfer(folder: Path, merged: Path) -> dict[str, Errors]:
    """Errors of four potentials on the validation frames of a run.

    folder: of the run, validated; merged: folder of a merged model. The run's own ensemble is there
    for comparison: it alone was trained on the molecule.
    """
    run = load(folder)
    spec = run.config.potential.record()
    card = json.loads((merged / "model.json").read_text())
    model = replace(spec, model=str(merged / "model.safetensors"), checksum=card["sha256"])
    chains = EnsembleRef(str(merged / "ensemble"), 1, card["sampler"]["chains"])
    labels = validation_labels(folder)
    assert run.ensemble is not None
    ensembles: Mapping[str, Ensemble] = {
        "foundation": load_foundation(spec),
        "merged model": load_foundation(model),
        "merged ensemble": load_ensemble(spec, chains),
        "own run": load_ensemble(spec, run.ensemble),
    }
    return {name: errors(ensemble, labels) for name, ensemble in ensembles.items()}


def validation_labels(folder: Path) -> list[Label]:
    """The labels that `bnnflow validate` made of a run's frames, in the order of time."""
    paths = sorted((folder / "validation").iterdir(), key=lambda path: int(path.name))
    found = [read_label(path) for path in paths]
    return [label for label in found if label is not None]


def errors(ensemble: Ensemble, labels: list[Label]) -> Errors:
    """RMSE of the members' mean: energies, their mean error removed (kcal/mol), and forces
    (kcal/mol/Å); spread of the members' forces beside it."""
    members = [ensemble.members(label.structure) for label in labels]
    energy = [m.energy.mean() - label.energy for m, label in zip(members, labels, strict=True)]
    force = [m.forces.mean(0) - label.forces for m, label in zip(members, labels, strict=True)]
    spread = [m.forces.std(0, ddof=1) for m in members if len(m.energy) > 1]
    return {
        "energy": to_kcal_per_mol(metrics.rmse(metrics.centred(energy))),
        "forces": to_kcal_per_mol(metrics.rmse(np.concatenate([x.ravel() for x in force]))),
        "spread": to_kcal_per_mol(metrics.rmse(np.concatenate([x.ravel() for x in spread])))
        if spread
        else 0.0,
    }


def as_text(found: Mapping[str, Errors]) -> list[str]:
    """Force RMSE and energy RMSE of each potential."""
    return [f"{e['forces']:.2f} / {e['energy']:.2f}" for e in found.values()]


def json_ready(found: Mapping[str, Errors]) -> dict[str, Any]:
    """The same for machines."""
    return {name: dict(errors) for name, errors in found.items()}
