"""MACE's radial network on pairs of atoms, with its slope carried forward.

A pair has one length whichever atom receives the message, so each pair is computed once. The
network's second derivative, which training on forces needs, is dear by two backward passes. Here
the slope along the length r is computed beside the value (two inputs of each layer instead of one)
and attached as

    h(r) + h'(r) (r - r0),        r0 = r without its gradient,

whose value and first derivative are those of h; one ordinary backward pass does the rest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class RadialNetwork:
    """`conv_tp_weights` of one interaction; network: e3nn's `FullyConnectedNet`; widths: channels
    of each path, which share the last layer."""

    def __init__(self, network: Any, name: str, widths: list[int]) -> None:
        self.widths = widths
        layers = [getattr(network, f"layer{index}") for index in range(len(network.hs) - 1)]
        self.names = [f"{name}.layer{index}.weight" for index in range(len(layers))]
        # The factor behind each activation goes into the next layer's weights.
        behind = [1.0, *(layer.act.cst * layer.var_out**0.5 for layer in layers[:-1])]
        self.scales = [
            float(factor) * (layer.h_in * layer.var_in) ** -0.5
            for factor, layer in zip(behind, layers, strict=True)
        ]
        self.scales[-1] *= layers[-1].var_out ** 0.5

    def matrices(self, named: dict[str, Tensor]) -> list[Tensor]:
        """The weights of each layer, (k, width in, width out)."""
        return [named[name] * scale for name, scale in zip(self.names, self.scales, strict=True)]

    def forward(self, matrices: list[Tensor], radial: Radial) -> list[Tensor]:
        """(k, pairs, channels) of each path."""
        hidden, slope = radial.basis, radial.slope
        if slope is None:
            for matrix in matrices[:-1]:
                hidden = torch.nn.functional.silu(hidden @ matrix)
        else:
            for matrix in matrices[:-1]:
                hidden, slope = _silu_with_slope(hidden @ matrix, slope @ matrix)
            hidden = torch.addcmul(hidden, slope, radial.lengths - radial.lengths.detach())
        if radial.cutoff is not None:
            hidden = hidden * radial.cutoff
        return [hidden @ last for last in matrices[-1].split(self.widths, dim=-1)]


def is_silu_network(network: Any) -> bool:
    """Whether a network is of the kind written here."""
    layers: list[Any] = [
        getattr(network, f"layer{index}", None) for index in range(len(network.hs) - 1)
    ]
    return (
        all(layer is not None for layer in layers)
        and layers[-1].act is None
        and all(getattr(layer.act, "f", None) is torch.nn.functional.silu for layer in layers[:-1])
    )


class Radial:
    """Basis functions (k, pairs, n) of the lengths (k, pairs, 1), for all layers.

    embedding: mace-torch's; with_slope: carry the slope forward, for training on forces.
    """

    def __init__(self, embedding: Any, lengths: Tensor, *, with_slope: bool) -> None:
        self.lengths = lengths
        self.slope: Tensor | None = None
        if not with_slope:
            self.basis, self.cutoff = embedding(lengths, None, None, None)
            return
        here = lengths.detach()

        def basis(r: Tensor) -> Tensor:
            value: Tensor = embedding(r, None, None, None)[0]
            return value

        self.cutoff = embedding(lengths, None, None, None)[1]
        pair: Any = torch.func.jvp(basis, (here,), (torch.ones_like(here),))
        self.basis, self.slope = pair


def _silu_with_slope(x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    return _SiluWithSlope.apply(x, slope)  # type: ignore[no-any-return, no-untyped-call]


class _SiluWithSlope(torch.autograd.Function):
    """silu(x) and its slope silu'(x) x', from x and x'; differentiable once."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        gate = torch.sigmoid(x)
        ctx.save_for_backward(x, slope, gate)
        first = _first(x, gate)
        return x * gate, first.mul_(slope)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, value: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        x, slope, gate = ctx.saved_tensors
        first = _first(x, gate)
        # second = s (1 - s) (2 + x (1 - 2 s))
        second = torch.addcmul(x, x, gate, value=-2.0).add_(2.0)
        second.mul_(gate).mul_(1.0 - gate).mul_(slope).mul_(along)
        second.addcmul_(value, first)
        return second, first.mul_(along)


def _first(x: Tensor, gate: Tensor) -> Tensor:
    """silu'(x) = s (1 + x (1 - s))."""
    return torch.addcmul(x, x, gate, value=-1.0).add_(1.0).mul_(gate)
