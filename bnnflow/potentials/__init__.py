"""Foundation potentials as functions of a flat parameter vector.

mace-torch must be imported before e3nn: it relaxes `torch.load`, without which e3nn 0.4.4 cannot
read its own constants under this torch. It also prints about packages that are not needed here.
"""

import contextlib
import io
import warnings

import torch

with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
    warnings.simplefilter("ignore")
    # TorchScript re-optimises a function after its first calls, which changes its rounding: a
    # resumed worker would not repeat what a warm one did. e3nn's harmonics stay plain Python.
    torch.jit._state.disable()
    try:
        import mace.modules  # noqa: F401
        from e3nn import o3  # noqa: F401
    finally:
        torch.jit._state.enable()

from bnnflow.potentials.ensemble import Ensemble, load_ensemble, load_foundation
from bnnflow.potentials.protocol import Output, Potential
from bnnflow.potentials.registry import list_models, load_potential, model_info

__all__ = [
    "Ensemble",
    "Output",
    "Potential",
    "list_models",
    "load_ensemble",
    "load_foundation",
    "load_potential",
    "model_info",
]
