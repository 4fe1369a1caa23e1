"""A fine-tuned potential as a foundation-model file, for the next run to start from."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from bnnflow.codec import publish
from bnnflow.errors import ModelError
from bnnflow.potentials.mace_files import save_mace
from bnnflow.potentials.registry import load_potential, open_mace
from bnnflow.records import PotentialSpec, model_family

NETWORK = "model."
"""Begins the names of the parameters that are the network's, not the force-std head's."""


def save_fine_tuned(spec: PotentialSpec, parameters: Tensor, path: Path) -> None:
    """Write the foundation model of `spec` with the weights of `parameters` (P,).

    The force-std head is left out: a foundation model has none, and the prior of a new run's head
    is about zero as ever. The file appears whole. Raises ModelError for models that are not MACE.
    """
    check_writable(spec)
    model = open_mace(spec)
    named = load_potential(spec).layout.unflatten(parameters.cpu())
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(named[NETWORK + name])
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_mace(model, temporary)
    publish(temporary, path)


def check_writable(spec: PotentialSpec) -> None:
    """Raises ModelError for a model that `save_fine_tuned` cannot write."""
    if model_family(spec.model) != "mace":
        raise ModelError(
            f"{spec.model} is no MACE model, expected one: fine-tuned weights of other "
            "architectures are kept as ensembles only"
        )
