"""Constants of a mace-torch model, read once: which weights act on which irreps, and couplings.

Features are lists of tensors (..., 2 l + 1, channels), one for each block of irreps: channels
last, so that mixing them is one matrix product. e3nn has (channels, 2 l + 1) in a flat row; only
the weights are shared with it. `matrices` turns the weights of k members into what `forward`
multiplies by; in MD that is done once for an ensemble.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from e3nn import o3
from torch import Tensor


class Mixing:
    """`o3.Linear`: channels of equal irreps mixed by a matrix. linear: the module read."""

    def __init__(self, linear: Any, name: str) -> None:
        self.name = f"{name}.weight"
        self.inputs: dict[int, list[int]] = {}
        self.pieces: dict[int, list[tuple[int, tuple[int, ...], float]]] = {}
        start = 0
        for path in linear.instructions:
            shape = tuple(path.path_shape)
            self.inputs.setdefault(path.i_out, []).append(path.i_in)
            piece = (start, shape, float(path.path_weight))
            self.pieces.setdefault(path.i_out, []).append(piece)
            start += math.prod(shape)

    def matrices(self, named: dict[str, Tensor]) -> list[Tensor]:
        """One matrix (k, channels in, channels out) for each block of the output."""
        weight = named[self.name]
        blocks = []
        for _, pieces in sorted(self.pieces.items()):
            parts = [_piece(weight, start, shape) * scale for start, shape, scale in pieces]
            blocks.append(parts[0] if len(parts) == 1 else torch.cat(parts, dim=1))
        return blocks

    def forward(self, matrices: Sequence[Tensor], blocks: Sequence[Tensor]) -> list[Tensor]:
        """Blocks (k, rows, 2 l + 1, channels) mixed."""
        mixed = []
        for (_, inputs), matrix in zip(sorted(self.inputs.items()), matrices, strict=True):
            parts = [blocks[i_in] for i_in in inputs]
            joined = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)
            mixed.append((joined.flatten(1, 2) @ matrix).unflatten(1, joined.shape[1:3]))
        return mixed


class ElementMixing:
    """`o3.FullyConnectedTensorProduct` with one-hot species: a matrix for each element."""

    def __init__(self, product: Any, name: str) -> None:
        self.name = f"{name}.weight"
        self.pieces: list[tuple[int, int, tuple[int, ...], float]] = []
        start = 0
        for path in product.instructions:
            shape = tuple(path.path_shape)
            degree = product.irreps_in1[path.i_in1].ir.l
            # The coupling of l with 0 to l is the identity over sqrt(2 l + 1).
            scale = float(path.path_weight) / math.sqrt(2 * degree + 1)
            self.pieces.append((path.i_in1, start, shape, scale))
            start += math.prod(shape)

    def matrices(self, named: dict[str, Tensor], present: Tensor) -> list[Tensor]:
        """A matrix (k, n_elements, channels in, channels out) for each block."""
        weight = named[self.name]
        return [
            _piece(weight, start, shape).index_select(2, present).transpose(1, 2) * scale
            for _, start, shape, scale in self.pieces
        ]

    def forward(self, matrices: Sequence[Tensor], blocks: Sequence[Tensor]) -> list[Tensor]:
        """Blocks (k, n_elements, rows, 2 l + 1, channels) mixed."""
        mixed = []
        for (i_in, *_), matrix in zip(self.pieces, matrices, strict=True):
            block = blocks[i_in]
            mixed.append((block.flatten(2, 3) @ matrix).unflatten(2, block.shape[2:4]))
        return mixed


class Coupling(torch.nn.Module):
    """`o3.TensorProduct` of neighbours' features with harmonics, one weight a channel and path.

    paths: for each path its block of features and 2 l + 1 of its message; widths: channels.
    """

    def __init__(self, product: Any) -> None:
        super().__init__()
        paths = sorted(product.instructions, key=lambda path: path.i_out)
        self.paths = [(path.i_in1, product.irreps_out[path.i_out].ir.dim) for path in paths]
        self.widths = [product.irreps_in1[path.i_in1].mul for path in paths]
        self.sizes = [ir.dim for _, ir in product.irreps_in1]
        for number, path in enumerate(paths):
            for m, table in enumerate(_table(product, path).unbind(1)):
                self.register_buffer(f"table_{number}_{m}", table.contiguous(), persistent=False)

    def tables(self) -> list[list[Tensor]]:
        """Of each path and component m1, ((lmax + 1)^2, 2 l3 + 1): harmonics to directions."""
        return [
            [self.get_buffer(f"table_{number}_{m}") for m in range(self.sizes[block])]
            for number, (block, _) in enumerate(self.paths)
        ]

    def components(self, number: int) -> list[int]:
        """Which inputs hold a path's features, when all weights and then all components follow."""
        block = self.paths[number][0]
        start = len(self.paths) + sum(self.sizes[:block])
        return list(range(start, start + self.sizes[block]))


def _table(product: Any, path: Any) -> Tensor:
    harmonics = product.irreps_in2
    one = product.irreps_in1[path.i_in1].ir.l
    two, out = harmonics[path.i_in2].ir.l, product.irreps_out[path.i_out].ir.l
    wigner = o3.wigner_3j(one, two, out, dtype=torch.float64).transpose(0, 1)
    table: Tensor = torch.zeros(harmonics.dim, 2 * one + 1, 2 * out + 1, dtype=torch.float64)
    table[harmonics.slices()[path.i_in2]] = wigner * path.path_weight
    return table


def _piece(weight: Tensor, start: int, shape: tuple[int, ...]) -> Tensor:
    """(k, *shape) of the flat weights (k, n) from `start` on."""
    return weight[:, start : start + math.prod(shape)].reshape(-1, *shape)
