"""An ASE calculator over an ensemble: energy, forces and stress with their uncertainties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from bnnflow.records import Prediction, Structure

Predict = Callable[[Structure], Prediction]
"""What the ensemble says of one structure; must depend on that structure alone."""


class EnsembleCalculator(Calculator):
    """ASE calculator that drives atoms with an ensemble's mean and reports how sure it is.

    `results` holds ASE's energy, free_energy, forces, stress (if the potential has one), and
    energy_std and energy_spread (eV), forces_std ((n_atoms, 3) eV/Å), stress_std ((6,) eV/Å³) and
    member_energies ((k,) eV), each also through `calculator.get_property(name, atoms)`.
    """

    implemented_properties: ClassVar[list[str]] = [
        "energy",
        "free_energy",
        "forces",
        "stress",
        "energy_std",
        "energy_spread",
        "forces_std",
        "stress_std",
        "member_energies",
    ]

    def __init__(self, predict: Predict, *, charge: int = 0, multiplicity: int = 1) -> None:
        """Wrap `predict`; charge (e) and multiplicity (2S + 1) complete ASE's atoms."""
        super().__init__()
        self.predict = predict
        self.charge = charge
        self.multiplicity = multiplicity
        self.prediction: Prediction | None = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Predict everything at once for `atoms`; called by ASE when they have changed."""
        super().calculate(atoms, properties or ["energy"], system_changes)
        structure = Structure.from_atoms(
            self.atoms, charge=self.charge, multiplicity=self.multiplicity
        )
        self.prediction = self.predict(structure)
        self.results = _results(self.prediction)


def _results(prediction: Prediction) -> dict[str, Any]:
    """ASE's names for a prediction; what the potential does not give is left out."""
    values = {
        "energy": prediction.energy,
        "free_energy": prediction.energy,
        "forces": prediction.forces,
        "stress": prediction.stress,
        "energy_std": prediction.energy_std,
        "energy_spread": prediction.energy_spread,
        "forces_std": prediction.forces_std,
        "stress_std": prediction.stress_std,
        "member_energies": prediction.member_energies,
    }
    return {name: value for name, value in values.items() if value is not None}
