"""On-the-fly fine-tuning of foundation potentials with Bayesian neural networks.

The names below are the public ones. Each is loaded when it is first used, so that
`import bnnflow` costs nothing; everything else is reached through its room, e.g. `bnnflow.bayes`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bnnflow.config import RunConfig, load_config
    from bnnflow.data import read_run
    from bnnflow.errors import BnnflowError, UserError
    from bnnflow.md import EnsembleCalculator
    from bnnflow.potentials import load_potential
    from bnnflow.records import (
        Calibration,
        Decision,
        Dynamics,
        EnsembleRef,
        Failure,
        Label,
        PotentialSpec,
        Prediction,
        Structure,
    )
    from bnnflow.reference import label

__version__ = "0.1.0"

__all__ = [
    "Structure",
    "Label",
    "Failure",
    "Prediction",
    "Decision",
    "Calibration",
    "EnsembleRef",
    "PotentialSpec",
    "Dynamics",
    "RunConfig",
    "load_config",
    "load_potential",
    "EnsembleCalculator",
    "label",
    "read_run",
    "BnnflowError",
    "UserError",
    "__version__",
]

_ROOMS = {
    "bnnflow.config": ("RunConfig", "load_config"),
    "bnnflow.data": ("read_run",),
    "bnnflow.errors": ("BnnflowError", "UserError"),
    "bnnflow.md": ("EnsembleCalculator",),
    "bnnflow.potentials": ("load_potential",),
    "bnnflow.records": (
        "Calibration",
        "Decision",
        "Dynamics",
        "EnsembleRef",
        "Failure",
        "Label",
        "PotentialSpec",
        "Prediction",
        "Structure",
    ),
    "bnnflow.reference": ("label",),
}


def __getattr__(name: str) -> object:
    """Load a public name from its room on first use (PEP 562)."""
    for room, names in _ROOMS.items():
        if name in names:
            value: object = getattr(import_module(room), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'bnnflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
