"""A network's parameters as one flat vector, so that k chains are one (k, P) array."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ParameterLayout:
    """Names and shapes of the parameters, in the order in which they follow each other."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, parameters: Mapping[str, Tensor]) -> ParameterLayout:
        """The layout of some named parameters."""
        return cls(tuple(parameters), tuple(tuple(value.shape) for value in parameters.values()))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of each parameter."""
        return tuple(math.prod(shape) for shape in self.shapes)

    @property
    def size(self) -> int:
        """P, the length of the flat vector."""
        return sum(self.sizes)

    def flatten(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Named tensors (..., *shape) with the same leading axes to (..., P)."""
        parts = []
        for name, shape in zip(self.names, self.shapes, strict=True):
            value = parameters[name]
            parts.append(value.reshape(*value.shape[: value.ndim - len(shape)], -1))
        return torch.cat(parts, dim=-1)

    def unflatten(self, flat: Tensor) -> dict[str, Tensor]:
        """(..., P) to views (..., *shape) by name."""
        parts = torch.split(flat, list(self.sizes), dim=-1)
        leading = flat.shape[:-1]
        return {
            name: part.reshape(*leading, *shape)
            for name, shape, part in zip(self.names, self.shapes, parts, strict=True)
        }
