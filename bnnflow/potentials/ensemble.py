"""An ensemble of members on disk and in memory, evaluated in one batch (METHOD 4).

A member is the active part of one chain's sample; the rest of the parameters stay at their
pre-trained values. One neighbour list serves all members. What comes back are arrays over members:
the reduction to a mean and a std is `uncertainty.reduce_members`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bnnflow.codec import publish
from bnnflow.errors import ModelError
from bnnflow.potentials.graphs import GraphBatch
from bnnflow.potentials.groups import Groups
from bnnflow.potentials.protocol import Potential
from bnnflow.potentials.registry import load_potential
from bnnflow.records import EnsembleRef, FloatArray, PotentialSpec, Structure


@dataclass(frozen=True, eq=False)
class MemberArrays:
    """Predictions of k members for one structure.

    energy: (k,) eV, total; forces: (k, n_atoms, 3) eV/Å; force_std: (k, n_atoms) eV/Å;
    stress: (k, 6) eV/Å³, None for open systems.
    """

    energy: FloatArray
    forces: FloatArray
    force_std: FloatArray
    stress: FloatArray | None

    def not_finite(self) -> tuple[int, ...]:
        """Members whose predictions hold a number that is not finite."""
        parts = [self.energy, self.forces, self.force_std]
        parts += [] if self.stress is None else [self.stress]
        broken = [~np.isfinite(part).reshape(len(part), -1).all(axis=1) for part in parts]
        return tuple(np.flatnonzero(np.any(broken, axis=0)).tolist())


@dataclass(frozen=True, eq=False)
class Ensemble:
    """A potential with k parameter vectors. parameters: (k, P); groups: how many at a time."""

    potential: Potential
    parameters: Tensor
    groups: Groups

    @classmethod
    def of(cls, potential: Potential, parameters: Tensor) -> Ensemble:
        """All members (k, P) side by side, or as many as the memory holds."""
        return cls(potential, parameters, Groups(len(parameters)))

    def members(self, structure: Structure) -> MemberArrays:
        """Evaluate every member on one structure, in one batch where it fits.

        Raises ModelError when not even one member fits into memory.
        """
        evaluate = functools.partial(
            self.potential.evaluate,
            batch=graph_batch(self.potential, [structure]).to(self.parameters.device),
            stress=bool(structure.pbc.all()),
            create_graph=False,
        )
        output = self.groups.evaluate(self.parameters, evaluate)
        total = output.energy[:, 0].double() + evaluate.keywords["batch"].atomic_energy[0]
        return MemberArrays(
            energy=_array(total),
            forces=_array(output.forces[:, 0]),
            force_std=_array(output.force_std[:, 0]),
            stress=_array(output.stress[:, 0]) if output.stress is not None else None,
        )


def graph_batch(potential: Potential, structures: Sequence[Structure]) -> GraphBatch:
    """Padded graphs of some structures, for this potential."""
    return potential.collate(structures)


def load_foundation(spec: PotentialSpec) -> Ensemble:
    """The foundation model alone, as an ensemble of one member with the zero head (sigma = s0)."""
    potential = load_potential(spec)
    return Ensemble.of(potential, potential.prior_mean().unsqueeze(0).to(spec.device))


def load_ensemble(spec: PotentialSpec, ensemble: EnsembleRef) -> Ensemble:
    """Load all members of a version; a worker keeps the last two.

    Raises ModelError when a member's file is missing, damaged or of another model.
    """
    return _load_ensemble(spec, ensemble, _written(ensemble))


def _written(ensemble: EnsembleRef) -> tuple[int, ...]:
    """When each member was written: a folder that was made anew holds another ensemble."""
    paths = [member_path(ensemble.directory, chain) for chain in range(ensemble.n_members)]
    return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)


@functools.lru_cache(maxsize=2)
def _load_ensemble(
    spec: PotentialSpec, ensemble: EnsembleRef, _written: tuple[int, ...]
) -> Ensemble:
    members = [load_member(spec, ensemble, chain) for chain in range(ensemble.n_members)]
    return Ensemble.of(load_potential(spec), torch.stack(members).to(spec.device))


def member_path(directory: str, chain: int) -> Path:
    """The file of one member of an ensemble version."""
    return Path(directory) / f"chain-{chain:02d}.safetensors"


def save_member(path: Path, *, active: Tensor, values: Tensor) -> None:
    """Write one member: `active` (P,) bool, `values` (n_active,). The file appears whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    save_file({"active": active.cpu(), "values": values.cpu().contiguous()}, str(temporary))
    publish(temporary, path)


def load_member(spec: PotentialSpec, ensemble: EnsembleRef, chain: int) -> Tensor:
    """(P,) parameters of one member. Raises ModelError when its file is missing or does not fit."""
    path = member_path(ensemble.directory, chain)
    if not path.is_file():
        raise ModelError(
            f"ensemble member {path} is missing: expected {ensemble.n_members} chain files there"
        )
    arrays = _arrays(path)
    full = load_potential(spec).prior_mean()
    if arrays["active"].shape != full.shape:
        raise ModelError(
            f"{path} holds {len(arrays['active'])} parameters, expected {len(full)}: "
            "another model made it"
        )
    full[arrays["active"]] = arrays["values"].to(full)
    return full


def mean_of_members(spec: PotentialSpec, ensemble: EnsembleRef, chains: Sequence[int]) -> Tensor:
    """(P,) the parameters of some members, averaged; raises as `load_member`."""
    members = [load_member(spec, ensemble, chain) for chain in chains]
    return torch.stack(members).double().mean(0).to(members[0])


def _arrays(path: Path) -> dict[str, Tensor]:
    try:
        arrays: dict[str, Tensor] = load_file(str(path))
    except SafetensorError as error:
        raise ModelError(f"{path} is damaged ({error}): expected an ensemble member") from error
    if set(arrays) != {"active", "values"}:
        raise ModelError(f"{path} holds {sorted(arrays)}, expected the arrays active and values")
    return arrays


def _array(value: Tensor) -> FloatArray:
    return np.asarray(value.detach().double().cpu().numpy())
