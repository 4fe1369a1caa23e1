"""Molecular dynamics driven by an ensemble, through ASE.

`start` gives thermal velocities, `propagate` takes steps while the ensemble is trusted, and
`EnsembleCalculator` serves the ensemble to anything else that ASE can do.
"""

from bnnflow.md.beginning import start
from bnnflow.md.calculator import EnsembleCalculator, Predict
from bnnflow.md.evidence import describe, keep_evidence
from bnnflow.md.noise import with_new_noise
from bnnflow.md.propagator import propagate
from bnnflow.md.schedule import temperature_at
from bnnflow.md.stages import stage_at

__all__ = [
    "EnsembleCalculator",
    "Predict",
    "describe",
    "keep_evidence",
    "propagate",
    "stage_at",
    "start",
    "temperature_at",
    "with_new_noise",
]
