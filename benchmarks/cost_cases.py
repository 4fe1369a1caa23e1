"""Models and structures of the cost benchmarks: random weights, for cost does not depend on them.

model   features        correlation  max_ell  cutoff  elements
s16     16x0e           2            2        4.5 Å   those of the material
s32     32x0e+32x1o     3            3        5 Å     those of the material
mp0     128x0e+128x1o   3            3        6 Å     89, as in MACE-MP-0 medium
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from bnnflow.materials import load_structure
from bnnflow.potentials.mace import MacePotential
from bnnflow.potentials.mace_files import load_mace, save_mace
from bnnflow.records import Structure

ACTINIDES_LEFT_OUT = {84, 85, 86, 87, 88}
MP0_ELEMENTS = tuple(z for z in range(1, 95) if z not in ACTINIDES_LEFT_OUT)


@dataclass(frozen=True)
class Layout:
    """What distinguishes the models; cutoff in Å."""

    features: str
    correlation: int
    max_ell: int
    cutoff: float
    radial: tuple[int, ...]
    bessel: int
    readout: str
    neighbours: float
    residual_first: bool = False


LAYOUTS = {
    "s16": Layout("16x0e", 2, 2, 4.5, (64, 64), 8, "16x0e", 12.0),
    "s32": Layout("32x0e+32x1o", 3, 3, 5.0, (64, 64, 64), 8, "16x0e", 20.0),
    "mp0": Layout("128x0e+128x1o", 3, 3, 6.0, (64, 64, 64), 10, "16x0e", 61.96, True),
}
MATERIALS = {"ethanol": (1, 6, 8), "perovskite40": (8, 25, 57), "perovskite160": (8, 25, 57)}


def stock_model(name: str, elements: tuple[int, ...]) -> torch.nn.Module:
    """A ScaleShiftMACE as mace-torch builds it by default, float32."""
    import mace.modules.blocks as blocks
    from e3nn import o3
    from mace.modules import ScaleShiftMACE

    layout = LAYOUTS[name]
    first = (
        blocks.RealAgnosticResidualInteractionBlock
        if layout.residual_first
        else blocks.RealAgnosticInteractionBlock
    )
    torch.manual_seed(0)
    model: torch.nn.Module = ScaleShiftMACE(
        r_max=layout.cutoff,
        num_bessel=layout.bessel,
        num_polynomial_cutoff=5,
        max_ell=layout.max_ell,
        interaction_cls=blocks.RealAgnosticResidualInteractionBlock,
        interaction_cls_first=first,
        num_interactions=2,
        num_elements=len(elements),
        hidden_irreps=o3.Irreps(layout.features),
        MLP_irreps=o3.Irreps(layout.readout),
        gate=torch.nn.functional.silu,
        atomic_energies=np.zeros((1, len(elements))),
        avg_num_neighbors=layout.neighbours,
        atomic_numbers=list(elements),
        correlation=layout.correlation,
        radial_type="bessel",
        radial_MLP=list(layout.radial),
        atomic_inter_scale=[0.8],
        atomic_inter_shift=[0.1],
        heads=["Default"],
    )
    return model


def potential_of(model: torch.nn.Module) -> MacePotential:
    """The same weights as bnnflow reads them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_mace(model, path)
        return MacePotential(load_mace(path))


def elements_of(model: str, material: str) -> tuple[int, ...]:
    """Atomic numbers that the model knows."""
    return MP0_ELEMENTS if model == "mp0" else MATERIALS[material]


def structures(material: str, count: int) -> list[Structure]:
    """Frames of a material, rattled by 0.05 Å."""
    rng = np.random.default_rng(0)
    atoms = load_structure("ethanol").to_atoms() if material == "ethanol" else _perovskite(material)
    frames = []
    for _ in range(count):
        moved = atoms.copy()
        moved.positions += 0.05 * rng.normal(size=moved.positions.shape)
        frames.append(Structure.from_atoms(moved))
    return frames


def _perovskite(material: str) -> Atoms:
    """Cubic LaMnO3, 3.9 Å, 2x2x2 (40 atoms) or 4x4x2 (160 atoms)."""
    scaled = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cell = Atoms("LaMnO3", scaled_positions=scaled, cell=[3.9] * 3, pbc=True)
    return cell * ((2, 2, 2) if material.endswith("40") and "160" not in material else (4, 4, 2))


def members(potential: MacePotential, count: int) -> torch.Tensor:
    """(k, P) parameters scattered around the model's, heads included."""
    generator = torch.Generator().manual_seed(1)
    mean = potential.prior_mean()
    noise = torch.randn(count, len(mean), generator=generator, dtype=mean.dtype)
    return mean + 0.02 * noise


def describe(case: str) -> tuple[str, str]:
    """Model and material of a case such as `step.s16.ethanol`."""
    _, model, material = case.split(".")
    return model, material


Settings = dict[str, Any]
