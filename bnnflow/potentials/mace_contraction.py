"""The symmetric contraction as polynomials in matrix form (MACE, eqs. 10 and 11 of its paper).

For one element, channel and output component m, the contraction is a polynomial without constant
term in the components x_i of the message. Written as

    out_m = sum_i x_i sum_q z_q c[q, m, i],        z_q = x_a x_b, x_a or 1,

with only those pairs q that occur, it is two matrix products: the coupling tensors, summed over
the orders of their factors, turn the weights into c (a product shared by all atoms), and z times c
is a product for each element and channel. The pairs themselves come from products with 0/1
matrices, so that no step gathers or scatters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

HIGHEST = 3
"""Largest correlation order written this way."""


class Contraction(torch.nn.Module):
    """One layer's contraction to all its output irreps.

    symmetric: mace-torch's `SymmetricContraction`; prefix: name of its parameters.
    """

    def __init__(self, symmetric: Any, prefix: str) -> None:
        super().__init__()
        tensors = [_couplings(one) for one in symmetric.contractions]
        terms = [[_terms(tensor) for tensor in one] for one in tensors]
        pairs = sorted({pair for one in terms for term in one for pair, *_ in term})
        n_components = tensors[0][0].shape[1]
        left, right = (_selection([pair[side] for pair in pairs], n_components) for side in (0, 1))
        for name, value in (("left", left), ("right", right)):
            self.register_buffer(name, value, persistent=False)
        self.names: list[list[str]] = []
        number = {pair: index for index, pair in enumerate(pairs)}
        for index, (tensor, term) in enumerate(zip(tensors, terms, strict=True)):
            matrix = torch.cat([_matrix(t, m, number) for t, m in zip(tensor, term, strict=True)])
            self.register_buffer(f"matrix_{index}", matrix.flatten(1), persistent=False)
            self.names.append(_names(f"{prefix}.contractions.{index}", len(tensor)))
        self.shape = (len(pairs), n_components)

    def forward(self, coefficients: list[Tensor], message: Tensor) -> list[Tensor]:
        """message (k, n_elements, rows, components, channels) to blocks (..., m, channels)."""
        x = message.permute(0, 1, 4, 2, 3).contiguous()
        left, right = (x @ matrix[:-1] + matrix[-1] for matrix in (self.left, self.right))
        pairs = left * right
        return [self._one(pairs, x, one) for one in coefficients]

    def _one(self, pairs: Tensor, x: Tensor, coefficients: Tensor) -> Tensor:
        inner = (pairs @ coefficients).unflatten(-1, (-1, self.shape[1]))
        return (inner * x.unsqueeze(-2)).sum(-1).permute(0, 1, 3, 4, 2)

    def matrices(self, named: dict[str, Tensor], present: Tensor) -> list[Tensor]:
        """Coefficients (k, n_elements, channels, pairs, m i) of each output, present elements."""
        return [self._coefficients(named, index, present) for index in range(len(self.names))]

    def _coefficients(self, named: dict[str, Tensor], index: int, present: Tensor) -> Tensor:
        weights = [named[name].index_select(1, present) for name in self.names[index]]
        joined = torch.cat(weights, dim=2).transpose(2, 3)
        coupled: Tensor = joined @ self.get_buffer(f"matrix_{index}")
        return coupled.unflatten(-1, (self.shape[0], -1))


Pair = tuple[int, int]
Term = tuple[Pair, int, Tensor]
"""(pair of factors, third factor, coupling (paths, m)); index -1 stands for the factor 1."""


def _names(prefix: str, orders: int) -> list[str]:
    """Parameters by rising order: mace-torch counts them downwards from the highest."""
    lower = [f"{prefix}.weights.{index}" for index in reversed(range(orders - 1))]
    return [*lower, f"{prefix}.weights_max"]


def _couplings(contraction: Any) -> list[Tensor]:
    """Coupling tensors (m, components..., paths) of orders 1, 2, ..., in float64."""
    tensors = []
    for order in range(1, contraction.correlation + 1):
        tensor = contraction.U_tensors(order).double()
        tensors.append(tensor if tensor.ndim == order + 2 else tensor.unsqueeze(0))
    return tensors


def _terms(tensor: Tensor) -> list[Term]:
    """Non-zero monomials of one order, each with its coupling summed over orders of factors."""
    order, sums = tensor.ndim - 2, dict[tuple[int, ...], Tensor]()
    used = tensor.abs().sum((0, -1))
    for factors in product(range(tensor.shape[1]), repeat=order):
        if float(used[factors]) > 0.0:
            key = tuple(sorted(factors))
            coupling = tensor[(slice(None), *factors)].T
            sums[key] = sums[key] + coupling if key in sums else coupling
    return [(*_split(key), coupling) for key, coupling in sums.items() if bool(coupling.any())]


def _split(factors: tuple[int, ...]) -> tuple[Pair, int]:
    """A monomial as a pair (filled up with 1) and a third factor."""
    *rest, last = factors
    filled = (-1,) * (2 - len(rest)) + tuple(rest)
    return (filled[0], filled[1]), last


def _matrix(tensor: Tensor, terms: Sequence[Term], number: dict[Pair, int]) -> Tensor:
    """(paths, pairs, m, components) of one order."""
    m, components, paths = tensor.shape[0], tensor.shape[1], tensor.shape[-1]
    matrix = tensor.new_zeros(paths, len(number), m, components)
    for pair, last, coupling in terms:
        matrix[:, number[pair], :, last] = coupling
    return matrix


def _selection(factors: Sequence[int], components: int) -> Tensor:
    """(components + 1, pairs): picks a component; the last row adds the factor 1."""
    matrix = torch.zeros(components + 1, len(factors), dtype=torch.float64)
    matrix[list(factors), torch.arange(len(factors))] = 1.0
    return matrix
