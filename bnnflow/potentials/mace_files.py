"""MACE models as files: bnnflow's own format (safetensors with a JSON header) and mace-torch's.

A safetensors file holds arrays and text only, so loading one cannot run code. mace-torch's own
`.model` files are pickles, which can: they are opened only for a model whose checksum is known, or
when the user says so.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import e3nn
import numpy as np
import torch
from e3nn import o3
from mace import modules
from mace.tools.scripts_utils import extract_config_mace_model
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bnnflow.errors import ModelError

_CLASSES = ("interaction_cls", "interaction_cls_first", "readout_cls")
_IRREPS = ("hidden_irreps", "MLP_irreps", "edge_irreps")
_GATES = {"silu": torch.nn.functional.silu, "tanh": torch.tanh, "abs": torch.abs}
_FORMAT = "bnnflow-mace-1"


def save_mace(model: torch.nn.Module, path: Path) -> None:
    """Write a `ScaleShiftMACE` as one safetensors file that `load_mace` reads.

    model: mace-torch model; path: file to write. Raises ModelError for other classes of model.
    """
    # One key: safetensors writes several in random order, and the checksum would change with it.
    header = {_FORMAT: json.dumps(_config_to_json(_config(model)), sort_keys=True)}
    save_file(_arrays(model), str(path), metadata=header)


def load_mace(path: Path) -> torch.nn.Module:
    """Build the `ScaleShiftMACE` that `save_mace` wrote, in the dtype of its weights.

    Raises ModelError when the file is not one of bnnflow's.
    """
    with _opened(path) as file:
        header = file.metadata() or {}
        if _FORMAT not in header:
            raise ModelError(
                f"{path} is not a bnnflow MACE file: expected format {_FORMAT}; "
                "write it with save_mace"
            )
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return _build(_config_from_json(json.loads(header[_FORMAT])), arrays)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(str(path), framework="pt") as file:
            yield file
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged ({error}): expected a safetensors file") from error


def load_mace_pickle(path: Path) -> torch.nn.Module:
    """Build a plain `ScaleShiftMACE` from a mace-torch `.model` file. Runs the pickle's code."""
    try:
        model = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise ModelError(
            f"{path} does not load as a mace-torch model ({error}): expected a .model file"
        ) from error
    built = _build(_config(model), _arrays(model))
    _check_couplings(model, built)
    return built


def _check_couplings(original: torch.nn.Module, built: torch.nn.Module) -> None:
    """Older releases may have ordered the coupling tensors otherwise: then the weights mislead."""
    state = original.state_dict()
    for name, value in built.state_dict().items():
        if "U_matrix" in name and not torch.allclose(value, state[name].to(value), atol=1e-6):
            raise ModelError(
                f"{name} differs from this mace-torch: expected a model of the same release series"
            )


def _build(config: dict[str, Any], arrays: dict[str, torch.Tensor]) -> torch.nn.Module:
    dtype = next(value.dtype for value in arrays.values() if value.is_floating_point())
    with _plain_modules(dtype):
        model: torch.nn.Module = modules.ScaleShiftMACE(**config)
    expected = {name for name in model.state_dict() if not _rebuilt(name)}
    if expected != set(arrays):
        differing = sorted(expected ^ set(arrays))[:3]
        raise ModelError(f"the weights do not fit the model they name: {differing} differ")
    model.load_state_dict(arrays, strict=False)
    model.eval()
    return model


def _rebuilt(name: str) -> bool:
    """Coupling tensors and their flags follow from the irreps: rebuilt, never stored."""
    return "U_matrix" in name or name.endswith("_zeroed")


@contextmanager
def _plain_modules(dtype: torch.dtype) -> Iterator[None]:
    """Build modules without TorchScript (torch.func cannot see inside it), in one dtype."""
    before, before_dtype = e3nn.get_optimization_defaults(), torch.get_default_dtype()
    e3nn.set_optimization_defaults(jit_script_fx=False)
    torch.set_default_dtype(dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before_dtype)
        e3nn.set_optimization_defaults(**before)


def _arrays(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
        if not _rebuilt(name)
    }


def _config(model: torch.nn.Module) -> dict[str, Any]:
    config: dict[str, Any] = extract_config_mace_model(model)
    if "error" in config:
        raise ModelError(f"{type(model).__name__} cannot be used: expected a ScaleShiftMACE model")
    if config["embedding_specs"] is not None:
        raise ModelError(
            "models with charge or spin embeddings are not supported: use a plain ScaleShiftMACE"
        )
    return config | {"cueq_config": None, "atomic_numbers": config["atomic_numbers"].tolist()}


def _config_to_json(config: dict[str, Any]) -> dict[str, Any]:
    named = {name: config[name].__name__ for name in _CLASSES}
    irreps = {name: str(config[name]) if config[name] else None for name in _IRREPS}
    gate = {"gate": config["gate"].__name__ if config["gate"] is not None else None}
    plain = {
        name: _to_plain(value)
        for name, value in config.items()
        if name not in {*named, *irreps, "gate"}
    }
    return plain | named | irreps | gate


def _config_from_json(config: dict[str, Any]) -> dict[str, Any]:
    classes = {name: getattr(modules.blocks, config[name]) for name in _CLASSES}
    irreps = {
        name: o3.Irreps(config[name]) if config[name] is not None else None for name in _IRREPS
    }
    gate = {"gate": _GATES[config["gate"]] if config["gate"] is not None else None}
    energies = {"atomic_energies": np.array(config["atomic_energies"])}
    scale = {name: np.array(config[name]) for name in ("atomic_inter_scale", "atomic_inter_shift")}
    return config | classes | irreps | gate | energies | scale


def _to_plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, (np.ndarray, torch.Tensor, np.generic)) else value
