"""What is kept of every step, gathered into a segment."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bnnflow.md.integrators import kinetic_temperature
from bnnflow.md.walker import Walker
from bnnflow.records import Checkpoint, FloatArray, Outcome, Segment
from bnnflow.uncertainty import force_ratio


@dataclass
class Trace:
    """Steps recorded so far, in the units of `records.Segment`."""

    n_atoms: int
    force_limits: FloatArray | None = None
    steps: list[int] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    energy_std: list[float] = field(default_factory=list)
    kinetic: list[float] = field(default_factory=list)
    positions: list[FloatArray] = field(default_factory=list)
    cells: list[FloatArray] = field(default_factory=list)
    force_ratio: list[float] = field(default_factory=list)

    def record(self, walker: Walker) -> None:
        """Keep the step that a walker has just taken."""
        self.steps.append(walker.step)
        self.energy.append(walker.prediction.energy)
        self.energy_std.append(walker.prediction.energy_std)
        self.kinetic.append(float(walker.atoms.get_kinetic_energy()))
        self.positions.append(walker.atoms.get_positions())
        self.cells.append(walker.atoms.cell.array.copy())
        if self.force_limits is not None:
            self.force_ratio.append(force_ratio(walker.prediction.forces_std, self.force_limits))

    def segment(self, outcome: Outcome, checkpoint: Checkpoint) -> Segment:
        """The steps recorded, as arrays, with where and why they ended."""
        kinetic = np.array(self.kinetic, dtype=np.float64)
        return Segment(
            outcome=outcome,
            checkpoint=checkpoint,
            steps=np.array(self.steps, dtype=np.int64),
            energy=np.array(self.energy, dtype=np.float64),
            energy_std=np.array(self.energy_std, dtype=np.float64),
            kinetic=kinetic,
            temperature=kinetic_temperature(kinetic, self.n_atoms),
            positions=np.array(self.positions, dtype=np.float64).reshape(-1, self.n_atoms, 3),
            cells=np.array(self.cells, dtype=np.float64).reshape(-1, 3, 3),
            force_ratio=None if self.force_limits is None else np.array(self.force_ratio),
        )
