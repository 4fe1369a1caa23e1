"""Constants of a mace-torch model, read once: which weights act on which irreps, and couplings.

Features are lists of tensors (..., 2 l + 1, channels), one for each block of irreps: channels
last, so that mixing them is one matrix product. e3nn has (channels, 2 l + 1) in a flat row; only
the weights are shared with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from e3nn import o3
from torch import Tensor


class Mixing(torch.nn.Module):
    """`o3.Linear`: channels of equal irreps mixed by a matrix.

    linear: the module; its weights stay the model's and are passed to each call.
    """

    def __init__(self, linear: Any) -> None:
        super().__init__()
        self.paths: dict[int, list[tuple[int, int, tuple[int, int], float]]] = {}
        start = 0
        for path in linear.instructions:
            shape = tuple(path.path_shape)
            self.paths.setdefault(path.i_out, []).append(
                (path.i_in, start, shape, float(path.path_weight))
            )
            start += shape[0] * shape[1]

    def forward(self, weight: Tensor, blocks: Sequence[Tensor]) -> list[Tensor]:
        """weight (k, n), blocks (k, rows, 2 l + 1, channels) to the mixed blocks."""
        return [self.one(weight, blocks, i_out) for i_out in sorted(self.paths)]

    def one(self, weight: Tensor, blocks: Sequence[Tensor], i_out: int = 0) -> Tensor:
        """One output block alone."""
        paths = self.paths[i_out]
        parts = [_piece(weight, start, shape) * scale for _, start, shape, scale in paths]
        inputs = [blocks[i_in] for i_in, *_ in paths]
        matrix = parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)
        joined = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=-1)
        return (joined.flatten(1, 2) @ matrix).unflatten(1, joined.shape[1:3])


class ElementMixing(torch.nn.Module):
    """`o3.FullyConnectedTensorProduct` with one-hot species: a matrix for each element."""

    def __init__(self, product: Any) -> None:
        super().__init__()
        self.paths: list[tuple[int, int, tuple[int, ...], float]] = []
        start = 0
        for path in product.instructions:
            shape = tuple(path.path_shape)
            l_in = product.irreps_in1[path.i_in1].ir.l
            # The coupling of l with 0 to l is the identity over sqrt(2 l + 1).
            scale = float(path.path_weight) / (2 * l_in + 1) ** 0.5
            self.paths.append((path.i_in1, start, shape, scale))
            start += shape[0] * shape[1] * shape[2]

    def forward(self, weight: Tensor, blocks: Sequence[Tensor], present: Tensor) -> list[Tensor]:
        """weight (k, n), blocks (k, n_elements, rows, 2 l + 1, channels), present (n_elements,)."""
        mixed = []
        for i_in, start, shape, scale in self.paths:
            matrix = _piece(weight, start, shape)[:, :, present].transpose(1, 2) * scale
            block = blocks[i_in]
            mixed.append((block.flatten(2, 3) @ matrix).unflatten(2, block.shape[2:4]))
        return mixed


class Coupling(torch.nn.Module):
    """`o3.TensorProduct` of neighbours' features with harmonics, one weight a channel and path.

    paths: per path (block of features, columns of the weights); table: per path
    ((lmax + 1)^2, m_in m_out), harmonics to the matrix that turns features into messages.
    """

    def __init__(self, product: Any) -> None:
        super().__init__()
        harmonics = product.irreps_in2
        offsets = [part.start for part in harmonics.slices()]
        self.paths: list[tuple[int, int, int, int]] = []
        start = 0
        for number, path in enumerate(sorted(product.instructions, key=lambda path: path.i_out)):
            one, two, out = (
                irreps[index].ir.l
                for irreps, index in (
                    (product.irreps_in1, path.i_in1),
                    (harmonics, path.i_in2),
                    (product.irreps_out, path.i_out),
                )
            )
            channels = product.irreps_in1[path.i_in1].mul
            self.paths.append((path.i_in1, start, channels, 2 * out + 1))
            start += channels
            table = torch.zeros(harmonics.dim, 2 * one + 1, 2 * out + 1, dtype=torch.float64)
            wigner = o3.wigner_3j(one, two, out, dtype=torch.float64).transpose(0, 1)
            at = offsets[path.i_in2]
            table[at : at + 2 * two + 1] = wigner * path.path_weight
            self.register_buffer(f"table_{number}", table.flatten(1), persistent=False)

    def tables(self) -> list[Tensor]:
        """The table of every path."""
        return [self.get_buffer(f"table_{number}") for number in range(len(self.paths))]


def _piece(weight: Tensor, start: int, shape: tuple[int, ...]) -> Tensor:
    """(k, *shape) of the flat weights (k, n) from `start` on."""
    count = 1
    for length in shape:
        count *= length
    return weight[:, start : start + count].unflatten(-1, shape)
