"""A tiny random MACE in mace-torch's own clothes, structures to evaluate, and mace-torch's answers.

The answers come from the model as mace-torch builds it (TorchScript, its own scatter, its own
graphs), so that nothing of bnnflow's way of evaluating is in them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

from bnnflow.potentials.ensemble import graph_batch
from bnnflow.potentials.graphs import GraphBatch
from bnnflow.potentials.mace import MacePotential
from bnnflow.potentials.mace_files import load_mace, save_mace
from bnnflow.records import Structure

ELEMENTS = (1, 6, 7, 8)
CUTOFF = 4.0
ATOMIC_ENERGIES = (-13.5, -1029.25, -1484.75, -2041.5)  # eV


def build(
    irreps: str,
    *,
    dtype: torch.dtype,
    seed: int = 0,
    heads: int = 1,
    correlation: int = 2,
    pair_repulsion: bool = False,
    elements: Sequence[int] = ELEMENTS,
) -> torch.nn.Module:
    """A random ScaleShiftMACE of mace-torch, for H, C, N and O if not told otherwise.

    elements: in rising order; atoms of others than H, C, N and O have energy 0.
    """
    known = dict(zip(ELEMENTS, ATOMIC_ENERGIES, strict=True))
    atomic_energies = [known.get(element, 0.0) for element in elements]
    import mace.modules.blocks as blocks
    from e3nn import o3
    from mace.modules import ScaleShiftMACE

    torch.manual_seed(seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        return ScaleShiftMACE(
            r_max=CUTOFF,
            num_bessel=4,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls=blocks.RealAgnosticResidualInteractionBlock,
            interaction_cls_first=blocks.RealAgnosticInteractionBlock,
            num_interactions=2,
            num_elements=len(elements),
            hidden_irreps=o3.Irreps(irreps),
            MLP_irreps=o3.Irreps("4x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.tile(atomic_energies, (heads, 1)),
            avg_num_neighbors=4.0,
            atomic_numbers=list(elements),
            correlation=correlation,
            pair_repulsion=pair_repulsion,
            radial_type="bessel",
            radial_MLP=[8, 8],
            atomic_inter_scale=[1.5] * heads,
            atomic_inter_shift=[0.3] * heads,
            heads=[f"head{index}" for index in range(heads)] if heads > 1 else ["Default"],
        )
    finally:
        torch.set_default_dtype(before)


class Tiny:
    """A random MACE as mace-torch has it, its file, and the potential read from that file."""

    def __init__(self, irreps: str, folder: Path, dtype: torch.dtype = torch.float64) -> None:
        self.stock = build(irreps, dtype=dtype)
        self.path = folder / f"{irreps}.safetensors"
        save_mace(self.stock, self.path)
        self.potential = MacePotential(load_mace(self.path))

    def members(self, k: int, *, seed: int = 1, scale: float = 0.1) -> torch.Tensor:
        """(k, P) parameters scattered around the pre-trained ones, heads included."""
        generator = torch.Generator().manual_seed(seed)
        mean = self.potential.prior_mean()
        noise = torch.randn(k, len(mean), generator=generator, dtype=mean.dtype)
        return mean + scale * noise

    def batch(self, structures: Sequence[Structure]) -> GraphBatch:
        return graph_batch(self.potential, structures)

    def stock_member(self, member: torch.Tensor) -> torch.nn.Module:
        """mace-torch's model with the weights of one member (P,)."""
        named = self.potential.layout.unflatten(member)
        weights = {name[6:]: named[name] for name in named if name.startswith("model.")}
        model = copy.deepcopy(self.stock)
        assert set(weights) == {name for name, _ in model.named_parameters()}
        model.load_state_dict(weights, strict=False)
        return model


def stock_answer(model: torch.nn.Module, structure: Structure) -> dict[str, np.ndarray]:
    """mace-torch's energy without the atoms, total energy, forces and stress (Voigt, ASE)."""
    from mace import data
    from mace.tools import AtomicNumberTable, torch_geometric

    periodic = bool(structure.pbc.all())
    config = data.config_from_atoms(structure.to_atoms())
    with _dtype(next(model.parameters()).dtype):
        graph = data.AtomicData.from_config(
            config, z_table=AtomicNumberTable(list(ELEMENTS)), cutoff=CUTOFF
        )
        batch = next(iter(torch_geometric.dataloader.DataLoader([graph], batch_size=1)))
        with _own_scatter():
            output = model(batch.to_dict(), compute_stress=periodic)
    answer = {
        "interaction": output["interaction_energy"].item(),
        "total": output["energy"].item(),
        "forces": output["forces"].detach().numpy(),
    }
    if periodic:
        tensor = output["stress"][0].detach().numpy()
        rows, columns = (0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)
        answer["stress"] = tensor[rows, columns]
    return answer


@contextmanager
def _dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def _own_scatter() -> Iterator[None]:
    import mace.modules.blocks
    from mace.tools.scatter import scatter_sum

    with patch.object(mace.modules.blocks, "scatter_sum", scatter_sum):
        yield


def rattled(atoms: Atoms, seed: int = 0, scale: float = 0.08) -> Structure:
    """Away from symmetric positions, so that no force vanishes."""
    atoms = atoms.copy()
    rng = np.random.default_rng(seed)
    atoms.positions += scale * rng.normal(size=atoms.positions.shape)
    return Structure.from_atoms(atoms)


def molecules() -> list[Structure]:
    """C, H and O in 3, 6 and 2 atoms."""
    names = ("H2O", "CH3OH", "CO")
    return [rattled(molecule(name), seed) for seed, name in enumerate(names)]


def crystal() -> Structure:
    """Four atoms in a skewed cell, smaller than the cutoff, so that images of an atom count."""
    cell = np.array([[3.6, 0.2, 0.1], [0.5, 3.9, -0.3], [-0.4, 0.3, 4.2]])
    scaled = [[0.02, 0.05, 0.01], [0.45, 0.1, 0.4], [0.1, 0.55, 0.52], [0.62, 0.6, 0.9]]
    return Structure.from_atoms(Atoms("CHON", scaled_positions=scaled, cell=cell, pbc=True))


def strained(structure: Structure, strain: np.ndarray) -> Structure:
    """The structure with positions and cell rows x mapped to x (1 + strain)."""
    map_ = np.eye(3) + strain
    return Structure(
        structure.numbers, structure.positions @ map_, structure.cell @ map_, structure.pbc
    )


def moved(structure: Structure, shift: np.ndarray) -> Structure:
    return Structure(structure.numbers, structure.positions + shift, structure.cell, structure.pbc)
