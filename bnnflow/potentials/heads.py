"""The force-std head: sigma_i = s0 exp(MLP(v_i)) (METHOD 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bnnflow.units import FORCE_STD_START

HIDDEN = (64, 16)
"""Widths of the hidden layers for MACE [R26]."""


class ForceStdHead(torch.nn.Module):
    """An MLP with SiLU inside, from invariant features to the logarithm of sigma / s0.

    n_features: width of the invariant features of one atom.
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        widths = (n_features, *HIDDEN)
        layers: list[torch.nn.Module] = []
        for width_in, width_out in zip(widths[:-1], widths[1:], strict=True):
            layers += [torch.nn.Linear(width_in, width_out), torch.nn.SiLU()]
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))

    def forward(self, features: Tensor) -> Tensor:
        """(n_atoms, n_features) to sigma (n_atoms,) in eV/Å, the same for x, y and z."""
        return FORCE_STD_START * torch.exp(self.layers(features).squeeze(-1))

    def start(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Starting values: hidden layers drawn, the last layer zero, so that sigma = s0."""
        values = {}
        last = f"layers.{len(self.layers) - 1}."
        for name, value in self.named_parameters():
            bound = 0.0 if name.startswith(last) else self._bound(name)
            drawn = torch.rand(value.shape, generator=generator, dtype=value.dtype)
            values[name] = (2.0 * drawn - 1.0) * bound
        return values

    def _bound(self, name: str) -> float:
        weight = self.get_parameter(f"layers.{name.split('.')[1]}.weight")
        fan_in: int = weight.shape[1]
        return 1.0 / math.sqrt(fan_in)


def member_stds(named: dict[str, Tensor], features: Tensor, n_modules: int) -> Tensor:
    """What `ForceStdHead` gives, for k members at once: (k, n, n_features) to (k, n) in eV/Å.

    named: `head.layers.*` with a leading axis k; n_modules: of the head's `layers`.
    """
    for index in range(0, n_modules, 2):
        weight, bias = (named[f"head.layers.{index}.{part}"] for part in ("weight", "bias"))
        features = torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))
        if index < n_modules - 1:
            features = torch.nn.functional.silu(features)
    return FORCE_STD_START * torch.exp(features.squeeze(-1))
