"""Run folders whose labels come from a known potential: the foundation model with other weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from ase.build import molecule
from tiny_mace import rattled

from bnnflow.codec import save_record
from bnnflow.config import RunConfig, check_run
from bnnflow.data import open_run
from bnnflow.potentials import Ensemble, load_potential
from bnnflow.records import Commit, Label, PotentialSpec, Structure
from workflows.session import create, pinned


def truth_of(model: Path, *, std: float = 0.1, seed: int = 8) -> Ensemble:
    """The random model with weights that its prior could have drawn."""
    potential = load_potential(PotentialSpec(str(model)))
    mean = potential.prior_mean()
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed))
    return Ensemble.of(potential, (mean + std * noise * ~potential.heads()).unsqueeze(0))


def frames(name: str, count: int, *, first: int = 0) -> list[Structure]:
    """A molecule with its atoms displaced, each frame otherwise."""
    return [rattled(molecule(name), first + index) for index in range(count)]


def label_by(truth: Ensemble, structure: Structure, *, shift: float, level: str = "known") -> Label:
    """What the truth says, on an energy scale that `shift`, eV, takes to the model's."""
    said = truth.members(structure)
    return Label(structure, said.energy[0] - shift, said.forces[0], None, level, "", 0.0, "here")


def run_with(config: RunConfig, labels: Sequence[Label], folder: Path) -> Path:
    """An ordinary run folder that holds these labels and nothing else."""
    structure = check_run(config)
    create(pinned(config, structure), structure, folder)
    names = tuple(f"{number:04d}" for number in range(len(labels)))
    for name, label in zip(names, labels, strict=True):
        path = folder / "labels" / name
        path.mkdir(parents=True)
        save_record(path / "result.h5", replace(label, directory=str(path)))
    with open_run(folder) as store:
        state = replace(store.state, labels=names, n_requests=len(names))
        store.commit(Commit(state, ()))
    return folder
