"""One walker of MD: ASE's atoms and integrator, and the checkpoints between its steps.

Exactness. A step is a function of the checkpoint before it, and of nothing else. Velocities, not
ASE's momenta, are the state: after each step the momenta are set anew from the rounded velocities,
so that a walker that goes on and one that comes back from a file agree bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.md.md import MolecularDynamics
from ase.md.melchionna import MelchionnaNPT

from bnnflow.errors import FaultError
from bnnflow.md.calculator import EnsembleCalculator, Predict
from bnnflow.md.guard import forcing_from
from bnnflow.md.integrators import (
    integrator_state,
    make_integrator,
    set_target_temperature,
    start_npt,
)
from bnnflow.md.noise import generator_from
from bnnflow.md.stages import stage_at
from bnnflow.records import Checkpoint, Dynamics, FloatArray, Prediction, Structure


@dataclass
class Walker:
    """MD under way; `advance` takes a step, `checkpoint` says where it is.

    structure: where it was restored, for what ASE's atoms do not hold; stage: the dynamics of
    `integrator`; velocities: (n_atoms, 3) in ASE's unit, which ASE's momenta only follow; step:
    number of steps taken.
    """

    structure: Structure
    atoms: Atoms
    calculator: EnsembleCalculator
    integrator: MolecularDynamics
    dynamics: Dynamics
    stage: Dynamics
    rng: np.random.Generator
    velocities: FloatArray
    step: int

    @classmethod
    def restore(cls, checkpoint: Checkpoint, *, dynamics: Dynamics, predict: Predict) -> Walker:
        """Set up ASE in the state of a checkpoint; the first evaluation is at its positions.

        A thermostat state of another kind of dynamics is left behind: that is how a run changes
        from one kind to the next.
        """
        atoms, calculator = _atoms_with_calculator(checkpoint.structure, predict)
        rng = generator_from(checkpoint.rng)
        stage = stage_at(dynamics, checkpoint.step)
        walker = cls(
            structure=checkpoint.structure,
            atoms=atoms,
            calculator=calculator,
            integrator=make_integrator(atoms, stage, rng=rng),
            dynamics=dynamics,
            stage=stage,
            rng=rng,
            velocities=checkpoint.velocities,
            step=checkpoint.step,
        )
        walker._set_velocities(checkpoint.velocities)
        walker._start(checkpoint.integrator)
        return walker

    @property
    def prediction(self) -> Prediction:
        """The answer at the present positions."""
        if self.calculator.prediction is None:
            raise FaultError("a walker has no forces yet: make walkers with Walker.restore")
        return self.calculator.prediction

    def advance(self) -> None:
        """Take one step. After an exception the walker is of no further use."""
        self._enter(stage_at(self.dynamics, self.step))
        set_target_temperature(self.integrator, self.dynamics, self.step)
        self.integrator.step()
        self._set_velocities(self.atoms.get_velocities())
        self.step += 1

    def checkpoint(self) -> Checkpoint:
        """Everything the next step depends on."""
        positions = self.atoms.get_positions()
        return Checkpoint(
            step=self.step,
            structure=replace(
                self.structure, positions=positions, cell=self.atoms.cell.array.copy()
            ),
            velocities=self.velocities,
            forcing=forcing_from(self.prediction, positions),
            integrator=integrator_state(self.integrator),
            rng=self.rng.bit_generator.state,
        )

    def _enter(self, stage: Dynamics) -> None:
        """Change the integrator where a stage begins, just as a restart there would."""
        if stage.kind != self.stage.kind:
            self.stage = stage
            self.integrator = make_integrator(self.atoms, stage, rng=self.rng)
            self._start({})

    def _start(self, state: Mapping[str, Any]) -> None:
        self.atoms.get_forces()
        if isinstance(self.integrator, MelchionnaNPT):
            set_target_temperature(self.integrator, self.dynamics, self.step)
            start_npt(self.integrator, state)

    def _set_velocities(self, velocities: FloatArray) -> None:
        self.velocities = velocities
        momenta = self.atoms.get_masses()[:, np.newaxis] * velocities
        self.atoms.set_momenta(momenta, apply_constraint=False)


def _atoms_with_calculator(
    structure: Structure, predict: Predict
) -> tuple[Atoms, EnsembleCalculator]:
    calculator = EnsembleCalculator(
        predict, charge=structure.charge, multiplicity=structure.multiplicity
    )
    atoms = structure.to_atoms()
    atoms.calc = calculator
    return atoms, calculator
