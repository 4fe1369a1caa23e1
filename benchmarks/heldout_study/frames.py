"""The structures of the study: ethanol at 300 K, from Langevin MD with GFN2-xTB.

Training and test frames come from two trajectories of their own, so that no test frame is a
neighbour in time of a training frame; neither depends on the model that is judged.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

from bnnflow.materials import load_structure
from bnnflow.training.frames import Plan, derived_seed, relaxed, trajectory

SETS = ("train", "test")
TEMPERATURE_K = 300.0
PLAN = Plan(timestep_fs=0.5, spacing_fs=50.0, equilibration_fs=1000.0, friction_per_fs=0.01)
FRAMES_FILE = "frames.extxyz"


def frames(work: Path, *, train: int, test: int) -> list[Atoms]:
    """The structures in `work`, made when they are not there: `train` frames, then `test`."""
    path = work / FRAMES_FILE
    if not path.is_file():
        start = relaxed(load_structure("ethanol").to_atoms())
        made = [*run(start, "train", train), *run(start, "test", test)]
        write_whole(path, made)
    # Read back also when just made: the file's digits are the structures of the study.
    return list(read(path, ":"))


def run(start: Atoms, name: str, count: int) -> list[Atoms]:
    """`count` frames of one trajectory, 50 fs apart, in shuffled order; name: train or test."""
    seed = derived_seed(PLAN.seed, f"heldout/{name}")
    found = list(islice(trajectory(start, TEMPERATURE_K, PLAN, seed), count))
    order = np.random.default_rng(seed).permutation(count)
    return [_bare(found[place], name, index) for index, place in enumerate(order)]


def write_whole(path: Path, content: list[Atoms]) -> None:
    """Write extended XYZ that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    write(temporary, content, format="extxyz")
    os.replace(temporary, path)


def _bare(frame: Atoms, name: str, index: int) -> Atoms:
    return Atoms(frame.numbers, positions=frame.positions, info={"set": name, "index": index})
