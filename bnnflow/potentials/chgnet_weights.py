"""CHGNet's parameters as the matrices that k members are multiplied with.

Core and gate of every gated network are stacked, (k, 2, ...). The first layer of each acts on
features of several things side by side and is cut into a matrix for each of them. What comes before
a layer norm is centred over its channels, which the norm would do. Bonds beyond the bond graph keep
their embedding, so that for them embedding and first layer are one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Named = Mapping[str, Tensor]
"""Parameters by CHGNet's names, each (k, *shape)."""
CHANNELS = 64


@dataclass(frozen=True, eq=False)
class Gated:
    """A gated network. first, bias: of the first layer, a matrix (k, 2, in, out) for each part of
    its input, and (k, 2, 1, out); second: matrix and bias of the layer after, None where there is
    none; norm: gamma and beta (k, 2, 1, out)."""

    first: list[Tensor]
    bias: Tensor
    second: tuple[Tensor, Tensor] | None
    norm: tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Convolution:
    """A gated network and the matrix (k, in, out) of what it adds to the features."""

    gated: Gated
    out: Tensor


@dataclass(frozen=True, eq=False)
class ChgnetWeights:
    """atoms: (k, n_elements, c); frequencies: of the basis of the atom graph, of the bond graph and
    of angles; bond, near, far, angle: (k, basis, c), embedding of bonds, their weights in the bond
    graph and in the atom graph, embedding of angles; atom_layers, bond_layers, angle_layers: one by
    one, each with one less than those before it; norm: (k, 1, c) gamma and beta before the readout;
    readout: matrix and bias of its layers; head: parameters of the force std."""

    atoms: Tensor
    frequencies: tuple[Tensor, Tensor, Tensor]
    bond: Tensor
    near: Tensor
    far: Tensor
    angle: Tensor
    atom_layers: list[Convolution]
    bond_layers: list[Convolution]
    angle_layers: list[Gated]
    norm: tuple[Tensor, Tensor]
    readout: list[tuple[Tensor, Tensor]]
    head: Named


def acting(names: list[str], n_layers: int) -> list[str]:
    """Which of CHGNet's parameters energies depend on.

    The others are those of magnetic moments, the elements' reference energies (fixed), and the last
    update of angles, which nothing reads.
    """
    idle = ("site_wise.", "composition_model.", f"angle_layers.{n_layers - 2}.")
    return [name for name in names if not name.startswith(idle)]


def chgnet_weights(named: Named, n_layers: int) -> ChgnetWeights:
    """The matrices of members' parameters."""
    basis = "bond_basis_expansion.rbf_expansion"
    return ChgnetWeights(
        atoms=named["atom_embedding.embedding.weight"],
        frequencies=(
            named[f"{basis}_ag.frequencies"],
            named[f"{basis}_bg.frequencies"],
            named["angle_basis_expansion.fourier_expansion.frequencies"],
        ),
        bond=_of_basis(named["bond_embedding.weight"]),
        near=_of_basis(named["bond_weights_bg.weight"]),
        far=_of_basis(named["bond_weights_ag.weight"]),
        angle=_of_basis(named["angle_embedding.weight"]),
        atom_layers=[
            _convolution(named, f"atom_conv_layers.{layer}", "twoBody_atom")
            for layer in range(n_layers)
        ],
        bond_layers=[
            _convolution(named, f"bond_conv_layers.{layer}", "twoBody_bond")
            for layer in range(n_layers - 1)
        ],
        angle_layers=[
            _single(named, f"angle_layers.{layer}.twoBody_bond") for layer in range(n_layers - 2)
        ],
        norm=(named["readout_norm.weight"].unsqueeze(1), named["readout_norm.bias"].unsqueeze(1)),
        readout=[_linear(named, name) for name in _readout_layers(named)],
        head={name: value for name, value in named.items() if name.startswith("head.")},
    )


def _of_basis(weight: Tensor) -> Tensor:
    """(k, c, n) as a matrix from a basis that has one more function, zero."""
    return torch.nn.functional.pad(weight, (0, 1)).transpose(1, 2)


def _convolution(named: Named, name: str, network: str) -> Convolution:
    gated = f"{name}.{network}"
    second = (_halves(named, gated, "3.weight"), _halves(named, gated, "3.bias"))
    return Convolution(
        Gated(
            first=_parts(_halves(named, gated, "0.weight")),
            bias=_halves(named, gated, "0.bias").unsqueeze(2),
            second=(_centred(second[0]).transpose(2, 3), _centred(second[1]).unsqueeze(2)),
            norm=_norm(named, gated),
        ),
        named[f"{name}.mlp_out.layers.1.weight"].transpose(1, 2),
    )


def _single(named: Named, name: str) -> Gated:
    """A gated network without a hidden layer."""
    return Gated(
        first=_parts(_centred(_halves(named, name, "1.weight"))),
        bias=_centred(_halves(named, name, "1.bias")).unsqueeze(2),
        second=None,
        norm=_norm(named, name),
    )


def _halves(named: Named, name: str, layer: str) -> Tensor:
    parts = [named[f"{name}.mlp_{half}.layers.{layer}"] for half in ("core", "gate")]
    return torch.stack(parts, dim=1)


def _parts(weight: Tensor) -> list[Tensor]:
    """(k, 2, out, in) as matrices of `CHANNELS` inputs each."""
    return list(weight.transpose(2, 3).split(CHANNELS, dim=2))


def _centred(weight: Tensor) -> Tensor:
    """(k, 2, out, ...) less its mean over outputs."""
    return weight - weight.mean(2, keepdim=True)


def _norm(named: Named, name: str) -> tuple[Tensor, Tensor]:
    gamma, beta = (
        torch.stack([named[f"{name}.bn{half}.{kind}"] for half in (1, 2)], dim=1).unsqueeze(2)
        for kind in ("weight", "bias")
    )
    return gamma, beta


def _readout_layers(named: Named) -> list[str]:
    names = [name.removesuffix(".weight") for name in named if name.startswith("mlp.layers.")]
    layers = {name for name in names if not name.endswith(".bias")}
    return sorted(layers, key=lambda name: int(name.rsplit(".", 1)[1]))


def _linear(named: Named, name: str) -> tuple[Tensor, Tensor]:
    return named[f"{name}.weight"].transpose(1, 2), named[f"{name}.bias"].unsqueeze(1)
