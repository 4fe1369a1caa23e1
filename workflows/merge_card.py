"""What a merged model was made of and what it is worth: a card for machines, a table for people."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import chemical_symbols

from bnnflow.analysis import metrics
from bnnflow.codec import publish
from bnnflow.config.sections import SamplerConfig
from bnnflow.records import FloatArray, PotentialSpec, Prediction, SampleResult
from bnnflow.training.compositions import formula
from bnnflow.units import to_kcal_per_mol
from workflows.console import columns
from workflows.merge_data import MergedData, found_the_labels
from workflows.merge_sources import Source

CARD = "model.json"
LIBRARIES = ("bnnflow", "torch", "mace-torch")
Predictions = Sequence[Sequence[Prediction]]
"""Of every label of every run."""


@dataclass(frozen=True)
class MergeResult:
    """A merged model: its folder, its file for `potential.model`, and its card as plain data."""

    folder: Path
    model: Path
    card: Mapping[str, Any]

    def table(self) -> str:
        """Errors of the foundation model and of the merged one on the labels of every run."""
        names = ("foundation", "merged", "ensemble")
        head = ("run", "labels", *(f"E {name}" for name in names), *(f"F {name}" for name in names))
        rows = [head, *(_row(run, names) for run in self.card["runs"])]
        units = "E: energy RMSE, mean error removed, kcal/mol; F: force RMSE, kcal/mol/Å"
        parts = [columns(rows), units, _conclusion(self.card), *_lost(self.card)]
        return "\n".join([*parts, f"model: {self.model}"])


def card_of(
    sources: Sequence[Source],
    predictions: Mapping[str, Predictions],
    *,
    data: MergedData,
    section: SamplerConfig,
    spec: PotentialSpec,
    results: Sequence[SampleResult],
    seed: int,
) -> dict[str, Any]:
    """The card as plain data, but for the model's checksum.

    predictions: of the foundation model, the merged one and the ensemble, by these names.
    """
    elements = sorted({int(z) for label in data.labels for z in label.structure.numbers})
    runs = [
        _run(source, {name: found[place] for name, found in predictions.items()})
        for place, source in enumerate(sources)
    ]
    return {
        "weights": "mean of the chains",
        "chains_of_the_mean": found_the_labels(results),
        "level": sources[0].level,
        "foundation": {"model": spec.model, "sha256": spec.checksum},
        "elements_learned": [chemical_symbols[z] for z in elements],
        "labels": len(data.labels),
        "held_out": sorted({source.material for source in sources if source.held_out}),
        "errors": {
            "learned": _overall(sources, predictions, held_out=False),
            "held_out": _overall(sources, predictions, held_out=True),
        },
        "runs": runs,
        "energy_shifts_eV": _shifts(data),
        "prior": asdict(data.prior),
        "sampler": section.model_dump(mode="json"),
        "chains": [asdict(result) for result in results],
        "seed": seed,
        "versions": {name: version(name) for name in LIBRARIES},
    }


def write_card(folder: Path, model: Path, card: Mapping[str, Any]) -> MergeResult:
    """Write the card beside the model, where `bnnflow model info` finds it."""
    temporary = folder / f".{CARD}.{os.getpid()}.tmp"
    temporary.write_text(json.dumps(_plain(card), indent=2, allow_nan=False) + "\n", "utf-8")
    publish(temporary, folder / CARD)
    return MergeResult(folder, model, _plain(card))


def _run(source: Source, predictions: Mapping[str, Sequence[Prediction]]) -> dict[str, Any]:
    return {
        "name": source.name,
        "material": source.material,
        "folder": str(source.run.folder),
        "composition": source.formula,
        "held_out": source.held_out,
        "labels": len(source.labels),
        "labels_of_run": len(source.run.data.state.labels),
        "labels_sha256": _checksum(source.directories),
        "errors": {
            name: _errors(*_differences(source, found)) for name, found in predictions.items()
        },
    }


def _overall(
    sources: Sequence[Source], predictions: Mapping[str, Predictions], *, held_out: bool
) -> dict[str, dict[str, float]] | None:
    """Errors over all labels of the runs, each run's mean energy error removed."""
    places = [place for place, source in enumerate(sources) if source.held_out == held_out]
    if not places:
        return None
    found = {}
    for name, each in predictions.items():
        energy, forces = zip(*(_differences(sources[i], each[i]) for i in places), strict=True)
        found[name] = _errors(np.concatenate(energy), np.concatenate(forces))
    return found


def _differences(
    source: Source, predictions: Sequence[Prediction]
) -> tuple[FloatArray, FloatArray]:
    """Errors of energies (n,) eV, their mean removed, and of force components, eV/Å."""
    pairs = list(zip(predictions, source.labels, strict=True))
    energy = metrics.centred([found.energy - label.energy for found, label in pairs])
    forces = [(found.forces - label.forces).ravel() for found, label in pairs]
    return energy, np.concatenate(forces)


def _errors(energy: FloatArray, forces: FloatArray) -> dict[str, float]:
    return {
        "energy_rmse_centred_kcal_per_mol": to_kcal_per_mol(metrics.rmse(energy)),
        "force_rmse_kcal_per_mol_A": to_kcal_per_mol(metrics.rmse(forces)),
    }


def _checksum(directories: Sequence[str]) -> str:
    """sha256 over the results of the labels, in their order."""
    digest = hashlib.sha256()
    for directory in directories:
        digest.update((Path(directory) / "result.h5").read_bytes())
    return digest.hexdigest()


def _shifts(data: MergedData) -> dict[str, float]:
    pairs = zip(data.labels, data.energy_shifts, strict=True)
    return {formula(label.structure): shift for label, shift in pairs}


def _row(run: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    keys = ("energy_rmse_centred_kcal_per_mol", "force_rmse_kcal_per_mol_A")
    errors = [f"{run['errors'][name][key]:.2f}" for key in keys for name in names]
    return run["name"] + (" (held out)" if run["held_out"] else ""), str(run["labels"]), *errors


def _conclusion(card: Mapping[str, Any]) -> str:
    """What the held-out labels say of the next run."""
    found = card["errors"]["held_out"]
    if found is None:
        return "nothing was held out: what the model is worth on another material is not known"
    old, new = (found[name]["force_rmse_kcal_per_mol_A"] for name in ("foundation", "merged"))
    told = f"held-out forces: {old:.2f} before, {new:.2f} after; "
    if new >= old:
        return f"{told}the merged model is NO better there: start from the foundation model"
    return (
        f"{told}the error to expect of the next material: "
        f"sampler.prior_force_spread_kcal_per_mol_A={new:.2g}"
    )


def _lost(card: Mapping[str, Any]) -> list[str]:
    every = sorted(chain for result in card["chains"] for chain in result["chains"])
    lost = [chain for chain in every if chain not in card["chains_of_the_mean"]]
    return [f"chains {lost} did not find the labels and are left out of the mean"] if lost else []


def _plain(value: Any) -> Any:
    """JSON-able; numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value
