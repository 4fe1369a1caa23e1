"""The trainer's command line and the model card."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from mace.tools import build_default_arg_parser

from bnnflow.training.assess import errors
from bnnflow.training.pretrain import Schedule, trainer_arguments
from bnnflow.units import KCAL_PER_MOL


class Offset(SinglePointCalculator):
    """Zero forces and a given energy, whatever the atoms."""

    def check_state(self, atoms: Atoms, tol: float = 1e-15) -> list[str]:
        return []


def test_the_trainer_knows_every_option() -> None:
    parsed = build_default_arg_parser().parse_args(trainer_arguments(Schedule())[3:])
    assert parsed.swa and parsed.ema and parsed.amsgrad
    assert parsed.hidden_irreps == "32x0e"
    assert parsed.seed == Schedule().seed
    assert parsed.default_dtype == "float32"


def test_the_second_stage_is_the_last_quarter() -> None:
    assert Schedule(epochs=80).second_stage_from == 60


def frame(name: str, energy: float, force: float) -> Atoms:
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.74]], info={"molecule": name})
    atoms.info["REF_energy"] = energy * KCAL_PER_MOL
    atoms.arrays["REF_forces"] = np.full((2, 3), force * KCAL_PER_MOL)
    return atoms


def test_the_mean_energy_error_is_removed_for_each_molecule() -> None:
    frames = [frame("a", 10.0, 1.0), frame("a", 12.0, 1.0), frame("b", -3.0, -2.0)]
    model = Offset(Atoms("H2"), energy=0.0, forces=np.zeros((2, 3)))
    found = errors(model, frames)
    assert found.frames == 3
    assert found.energy_rmse == pytest.approx(np.sqrt(2 / 3))
    assert found.energy_mae == pytest.approx(2 / 3)
    assert found.force_rmse == pytest.approx(np.sqrt(2.0))
    assert found.force_mae == pytest.approx(4 / 3)
