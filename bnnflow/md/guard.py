"""What an MD step is answered when it asks for forces (METHOD 6, steps 2 to 4).

First come the answers that are known already: the forcing of the configuration where the stretch
begins, then the reference's forcing of a labelled step. After them the ensemble answers, as long
as it is sure enough and nothing has come to its limits (`limits`); otherwise the step ends before
it is taken.
"""

from __future__ import annotations

import numpy as np

from bnnflow.errors import ConfigError, FaultError, NonFiniteError
from bnnflow.md.calculator import Predict
from bnnflow.md.limits import Limits, Strain, require_finite, require_positions
from bnnflow.records import FloatArray, Forcing, Prediction, Structure
from bnnflow.uncertainty import force_ratio


class Untrusted(Exception):  # noqa: N818 - a verdict on a step, caught where steps are taken
    """The configuration that a step leads to is to be labelled, so that step must not be taken.

    audit: the frame is trusted, and labelled all the same.
    """

    def __init__(
        self, structure: Structure, prediction: Prediction, *, audit: bool = False
    ) -> None:
        """Keep the evidence."""
        super().__init__("the ensemble is not trusted here")
        self.structure = structure
        self.prediction = prediction
        self.audit = audit


class Guard:
    """A predictor that gives known answers first, then the ensemble's where it is trusted.

    audit: whether the frame asked for next is to be labelled though it may be trusted; set by who
    knows the step. strains: of the configuration answered last; none when the answer was known.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        limit: float,
        limits: Limits,
        known: tuple[Forcing, ...],
        stress_needed: bool = False,
        force_limits: FloatArray | None = None,
    ) -> None:
        """Take the ensemble, the largest trusted energy std (eV), the limits of everything else,
        and the answers known so far.

        force_limits: (n_atoms,) largest trusted std of each atom's force error, eV/Å.
        """
        self.predict = predict
        self.limit = limit
        self.limits = limits
        self.strains: tuple[Strain, ...] = ()
        self.known = list(known)
        self.stress_needed = stress_needed
        self.force_limits = force_limits
        self.audit = False

    def __call__(self, structure: Structure) -> Prediction:
        """Answer one evaluation.

        Raises Untrusted when energy_std or a force's std exceeds its limit or an audit is due,
        ExplodedError when a guard forbids the configuration or anything is not finite, FaultError
        when a known answer belongs to other positions, NonFiniteError when it is not a number, and
        ConfigError when the dynamics need a stress and none came.
        """
        answer = self._recall(structure) if self.known else self._ask(structure)
        if self.stress_needed and answer.stress is None:
            raise ConfigError(
                "npt dynamics need a stress and none came with the forces: choose a potential and "
                "reference with stress, continue on the ensemble, or use langevin dynamics"
            )
        return answer

    def _ask(self, structure: Structure) -> Prediction:
        near = self.limits.positions(structure)  # no code can label atoms inside one another
        self.strains = (near,)
        prediction = self.predict(structure)
        require_finite(structure, prediction)
        trusted = prediction.energy_std <= self.limit  # False when the limit is NaN
        if self.force_limits is not None:
            trusted = trusted and force_ratio(prediction.forces_std, self.force_limits) <= 1.0
        if not trusted:
            raise Untrusted(structure, prediction)
        self.strains = (near, self.limits.forces(structure, prediction))
        if self.audit:
            raise Untrusted(structure, prediction, audit=True)
        return prediction

    def _recall(self, structure: Structure) -> Prediction:
        self.strains = ()
        forcing = self.known.pop(0)
        if not fits(forcing, structure):
            raise FaultError(
                "the step reached other positions than those its forces were computed for "
                f"({_distance(forcing, structure)}): redo it from the checkpoint that asked"
            )
        return _as_prediction(forcing)


def ask(predict: Predict, structure: Structure) -> Prediction:
    """The ensemble's prediction, whatever its uncertainty; ExplodedError when it is not finite."""
    require_positions(structure)
    prediction = predict(structure)
    require_finite(structure, prediction)
    return prediction


def forcing_from(prediction: Prediction, positions: FloatArray) -> Forcing:
    """What MD needs of a prediction, tied to the positions (n_atoms, 3) it was made for."""
    return Forcing(
        positions=positions,
        energy=prediction.energy,
        forces=prediction.forces,
        stress=prediction.stress,
    )


def fits(forcing: Forcing, structure: Structure) -> bool:
    """Whether a forcing belongs to exactly these positions."""
    return np.array_equal(forcing.positions, structure.positions)


def _as_prediction(forcing: Forcing) -> Prediction:
    """A known answer in the form of a prediction; its stds are NaN, for nobody estimated them."""
    parts = [forcing.forces] if forcing.stress is None else [forcing.forces, forcing.stress]
    if not (np.isfinite(forcing.energy) and all(np.all(np.isfinite(part)) for part in parts)):
        raise NonFiniteError(
            "the energy, forces or stress given for an MD step hold a number that is not finite: "
            "give a converged label"
        )
    return Prediction(
        energy=forcing.energy,
        energy_std=np.nan,
        energy_spread=np.nan,
        member_energies=np.empty(0),
        forces=forcing.forces,
        forces_std=np.full_like(forcing.forces, np.nan),
        stress=forcing.stress,
    )


def _distance(forcing: Forcing, structure: Structure) -> str:
    if forcing.positions.shape != structure.positions.shape:
        return f"{len(forcing.positions)} atoms against {len(structure)}"
    largest = np.max(np.abs(forcing.positions - structure.positions))
    return f"up to {largest:.3g} Å away"
