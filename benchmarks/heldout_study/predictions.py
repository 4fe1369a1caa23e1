"""The members' predictions of the test frames, kept so that figures can be recomputed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnnflow.codec import publish
from bnnflow.potentials import Ensemble
from bnnflow.records import FloatArray, Label


@dataclass(frozen=True, eq=False)
class Predictions:
    """k members and the truth of f frames of one molecule.

    energy: (k, f) eV, energy_truth: (f,) eV on the model's scale; forces: (k, f, n, 3) eV/Å,
    forces_truth: (f, n, 3) eV/Å; force_std: (k, f, n) eV/Å, of the members' heads; energy_std: eV,
    of the likelihood.
    """

    energy: FloatArray
    forces: FloatArray
    force_std: FloatArray
    energy_truth: FloatArray
    forces_truth: FloatArray
    energy_std: float

    def save(self, path: Path) -> None:
        """Write a file that appears whole or not at all."""
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.npz")
        np.savez_compressed(temporary, **vars(self))
        publish(temporary, path)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what `save` wrote."""
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        return cls(**{**arrays, "energy_std": float(arrays["energy_std"])})


def predict(
    ensemble: Ensemble, labels: Sequence[Label], *, energy_shift: float, energy_std: float
) -> Predictions:
    """Every member on every frame. energy_shift: eV, added to every reference energy."""
    members = [ensemble.members(label.structure) for label in labels]
    return Predictions(
        energy=np.stack([one.energy for one in members], axis=1),
        forces=np.stack([one.forces for one in members], axis=1),
        force_std=np.stack([one.force_std for one in members], axis=1),
        energy_truth=np.array([label.energy + energy_shift for label in labels]),
        forces_truth=np.stack([label.forces for label in labels]),
        energy_std=energy_std,
    )
