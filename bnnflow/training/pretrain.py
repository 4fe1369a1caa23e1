"""Pre-training of the shipped foundation model with mace-torch's own trainer, as a subprocess."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms

from bnnflow.training.frames import Plan, sample, split, write_frames
from bnnflow.training.molecules import ETHANOL, HELD_OUT, TRAINING, Recipe

__all__ = ["ARCHITECTURE", "NAME", "Schedule", "make_frames", "make_test_frames", "train"]

NAME = "chno-small"

ARCHITECTURE: Mapping[str, str] = {
    "model": "ScaleShiftMACE",
    "r_max": "4.5",
    "max_ell": "2",
    "correlation": "2",
    "num_interactions": "2",
    "num_radial_basis": "8",
    "interaction": "RealAgnosticResidualInteractionBlock",
    "interaction_first": "RealAgnosticResidualInteractionBlock",
    "hidden_irreps": "32x0e",
    "MLP_irreps": "16x0e",
    "radial_MLP": "[32,32,32]",
    "gate": "silu",
    # Least squares over the training set leaves smaller numbers to learn than isolated atoms do.
    "E0s": "average",
    "default_dtype": "float32",
}


@dataclass(frozen=True)
class Schedule:
    """Two stages of Adam: forces first, then a small constant rate and a larger energy weight."""

    epochs: int = 80
    batch_size: int = 16
    rate: float = 1e-2
    rate_decay: float = 0.95  # factor per epoch of the first stage
    second_rate: float = 3e-4
    energy_weight: float = 10.0
    second_energy_weight: float = 1000.0
    forces_weight: float = 100.0
    average_decay: float = 0.999  # of the running mean of the weights, per update
    seed: int = 2026

    @property
    def second_stage_from(self) -> int:
        """Return the epoch at which the second stage begins: the last quarter."""
        return round(0.75 * self.epochs)

    def arguments(self) -> dict[str, str]:
        """Return the trainer's options, by name."""
        return {
            "max_num_epochs": str(self.epochs),
            "start_swa": str(self.second_stage_from),
            "batch_size": str(self.batch_size),
            "lr": str(self.rate),
            "scheduler": "ExponentialLR",
            "lr_scheduler_gamma": str(self.rate_decay),
            "swa_lr": str(self.second_rate),
            "energy_weight": str(self.energy_weight),
            "swa_energy_weight": str(self.second_energy_weight),
            "forces_weight": str(self.forces_weight),
            "swa_forces_weight": str(self.forces_weight),
            "ema_decay": str(self.average_decay),
            "seed": str(self.seed),
        }


def make_frames(work: Path, plan: Plan) -> None:
    """Write `train.xyz`, `valid.xyz` and the test frames into `work`, once."""
    if (work / "train.xyz").exists():
        return
    make_test_frames(work, plan)
    training, validation = split(sample(TRAINING, plan))
    write_frames(work / "valid.xyz", validation)
    write_frames(work / "train.xyz", training)


def make_test_frames(work: Path, plan: Plan) -> None:
    """Write `held_out.xyz` and `ethanol.xyz`, frames at 300 K of molecules not trained on."""
    work.mkdir(parents=True, exist_ok=True)
    write_frames(work / "held_out.xyz", _test_frames(HELD_OUT, plan))
    write_frames(work / "ethanol.xyz", _test_frames((ETHANOL,), plan))


def _test_frames(recipes: tuple[Recipe, ...], plan: Plan) -> list[Atoms]:
    quiet = replace(plan, temperatures_k=(300.0,), frames_per_trajectory=60)
    return [frame for frames in sample(recipes, quiet) for frame in frames]


def trainer_arguments(schedule: Schedule) -> list[str]:
    """Return the command line of mace-torch's trainer, run in `work`."""
    files = {"name": NAME, "train_file": "train.xyz", "valid_file": "valid.xyz", "work_dir": "."}
    fixed = {"device": "cpu", "plot": "False", "valid_batch_size": "64"}
    options = files | dict(ARCHITECTURE) | schedule.arguments() | fixed
    pairs = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "mace.cli.run_train", *pairs, "--swa", "--ema", "--amsgrad"]


def train(work: Path, schedule: Schedule) -> Path:
    """Train on the frames in `work`, unless done before, and return the path of the trained model.

    Raises `subprocess.CalledProcessError` when the trainer fails; its output is in `train.log`.
    """
    trained = work / f"{NAME}_stagetwo.model"
    if not trained.exists():
        single = os.environ | {"OMP_NUM_THREADS": "1"}
        with (work / "train.log").open("w") as log:
            command = trainer_arguments(schedule)
            subprocess.run(command, cwd=work, stdout=log, stderr=log, env=single, check=True)
    return trained
