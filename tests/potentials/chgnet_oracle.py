"""CHGNet's own package as the oracle: its graphs, its modules, its units."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from bnnflow.potentials.chgnet_files import ChgnetModel
from bnnflow.records import Structure
from bnnflow.units import GPA, VOIGT


@cache
def stock() -> Any:
    """`CHGNet.load()`, float32, on the CPU."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        from chgnet.model import CHGNet

        model = CHGNet.load(use_device="cpu", verbose=False)
    model.graph_converter.set_isolated_atom_response("ignore")
    return model


def graph(structure: Structure) -> Any:
    """CHGNet's graph, by its own converter."""
    from pymatgen.io.ase import AseAtomsAdaptor

    return stock().graph_converter(AseAtomsAdaptor.get_structure(structure.to_atoms()))


def answer(model: Any, structure: Structure) -> dict[str, np.ndarray]:
    """energy: eV, total; forces: eV/Å; stress: (6,) eV/Å³; features: (c,) summed over atoms."""
    found = model.predict_graph(graph(structure), task="efs", return_crystal_feas=True)
    tensor = 0.5 * (found["s"] + found["s"].T) * GPA
    return {
        "energy": float(found["e"]) * len(structure),
        "forces": found["f"],
        "stress": np.array([tensor[row, column] for row, column in VOIGT]),
        "features": found["crystal_fea"],
    }


@contextlib.contextmanager
def double_precision() -> Any:
    """CHGNet's graphs and its model in float64, the latter without the elements' references."""
    model = copy.deepcopy(stock()).double()
    model.composition_model = None
    with (
        patch("chgnet.model.model.TORCH_DTYPE", torch.float64),
        patch("chgnet.graph.converter.TORCH_DTYPE", torch.float64),
    ):
        yield model


def scattered(model: ChgnetModel, scale: float, seed: int) -> dict[str, torch.Tensor]:
    """All of CHGNet's arrays, moved by a share of their root mean square."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: value
        + scale * value.square().mean().sqrt() * torch.randn(value.shape, generator=generator)
        for name, value in model.arrays.items()
    }
