"""CHGNet's weights as its own package ships them: where they are, what is in them.

The files are read without running anything of them (`weights_only`), and without CHGNet's package,
whose import takes seconds and prints.
"""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnnflow.errors import ModelError

SUFFIX = ".pth.tar"
DEFAULT_VERSION = "0.3.0"


@dataclass(frozen=True)
class Shipped:
    """A model in chgnet 0.4.2: file in its folder `pretrained`, checksum, and what it was trained
    on."""

    file: str
    sha256: str
    level: str


SHIPPED: Mapping[str, Shipped] = {
    "0.3.0": Shipped(
        file="0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        sha256="d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
        level="PBE and PBE+U (MPtrj)",
    ),
    "r2scan": Shipped(
        file="r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        sha256="8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad",
        level="r2SCAN (MP-r2SCAN), from 0.3.0",
    ),
}

_ARCHITECTURE: Mapping[str, Any] = {
    "read_out": "ave",
    "mlp_first": True,
    "is_intensive": True,
    "update_bond": True,
    "update_angle": True,
    "learnable_rbf": True,
    "non_linearity": "silu",
    "atom_conv_hidden_dim": 64,
    "bond_conv_hidden_dim": 64,
    "angle_layer_hidden_dim": 0,
    "gMLP_norm": "layer",
    "readout_norm": "layer",
    "conv_norm": None,
    "mlp_out_bias": False,
}
"""What `chgnet_members` computes; a file that leaves one of these out has it."""


@dataclass(frozen=True, eq=False)
class ChgnetModel:
    """A CHGNet as arrays.

    arrays: weights by the names of CHGNet's state dict; n_layers: of atom convolutions; cutoff,
    bond_cutoff: Å, of the atom graph and of the bond graph; envelope: exponent of the cutoffs.
    """

    arrays: Mapping[str, Tensor]
    n_layers: int
    cutoff: float
    bond_cutoff: float
    envelope: int


def shipped(model: str) -> Shipped:
    """The model of a name, `chgnet` or `chgnet:VERSION`. Raises ModelError for an unknown one."""
    version = model.partition(":")[2] or DEFAULT_VERSION
    if version not in SHIPPED:
        raise ModelError(
            f"unknown model {model}: expected chgnet: with one of {', '.join(SHIPPED)}"
        )
    return SHIPPED[version]


def shipped_file(model: str) -> Path:
    """The file of a named model in the installed package.

    Raises ModelError for an unknown name, and where the package is missing.
    """
    file = shipped(model).file
    return _folder() / file


def _folder() -> Path:
    found = importlib.util.find_spec("chgnet")
    if found is None or found.origin is None:
        raise ModelError(
            "the package chgnet, which ships the weights of this model, is not installed: "
            'pip install "bnnflow[chgnet]"'
        )
    return Path(found.origin).parent / "pretrained"


def load_chgnet(path: Path) -> ChgnetModel:
    """Read a checkpoint as CHGNet writes it.

    Raises ModelError when it is not one, or of an architecture that is not computed here.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        model = content["model"]
        arguments, arrays = dict(model["model_args"]), dict(model["state_dict"])
    except (OSError, RuntimeError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path} does not load as a CHGNet checkpoint ({reason}): expected the file of a "
            "model that CHGNet saved, with its weights and arguments alone"
        ) from error
    _check_architecture(path, arguments)
    return ChgnetModel(
        arrays=arrays,
        n_layers=int(arguments["n_conv"]),
        cutoff=float(arguments["atom_graph_cutoff"]),
        bond_cutoff=float(arguments["bond_graph_cutoff"]),
        envelope=int(arguments["cutoff_coeff"]),
    )


def _check_architecture(path: Path, arguments: Mapping[str, Any]) -> None:
    for key, expected in _ARCHITECTURE.items():
        found = arguments.get(key, expected)
        if found != expected:
            raise ModelError(
                f"{path} has {key} {found}, expected {expected}: use a model of CHGNet's "
                f"architecture of version {DEFAULT_VERSION}"
            )
