"""A network's parameters and those of its force-std head as one flat vector (METHOD 1, 2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bnnflow.potentials.heads import ForceStdHead
from bnnflow.potentials.layout import ParameterLayout

HEAD = "head."
"""Begins the names of the head's parameters."""


class Trainable:
    """named: pre-trained parameters by name, those of the head among them as `head.*`."""

    def __init__(self, named: Mapping[str, Tensor], head: ForceStdHead) -> None:
        self.named = dict(named)
        self.layout = ParameterLayout.of(self.named)
        self._head = head

    def prior_mean(self) -> Tensor:
        """(P,) pre-trained weights, and zero for the head (METHOD 2)."""
        zeros = {n: torch.zeros_like(p) for n, p in self.named.items() if n.startswith(HEAD)}
        return self.layout.flatten(self.named | zeros).clone()

    def start(self, generator: torch.Generator) -> Tensor:
        """(P,) pre-trained weights, and a head that gives s0 everywhere."""
        drawn = {
            f"{HEAD}{name}": value.to(self.named[f"{HEAD}{name}"])
            for name, value in self._head.start(generator).items()
        }
        return self.layout.flatten(self.named | drawn).clone()

    def heads(self) -> Tensor:
        """(P,) True for the parameters of the force-std head."""
        return self._named(HEAD)

    def force_scale(self) -> Tensor:
        """(P,) True for the bias of the head's last layer."""
        return self._named(f"{HEAD}layers.{len(self._head.layers) - 1}.bias")

    def mask(self, entries: Callable[[str, Tensor], Tensor]) -> Tensor:
        """(P,) of a bool tensor for each parameter, by its name and value, in its shape."""
        return self.layout.flatten({name: entries(name, p) for name, p in self.named.items()})

    def _named(self, start: str) -> Tensor:
        return self.mask(
            lambda name, value: torch.full_like(value, name.startswith(start), dtype=torch.bool)
        )
