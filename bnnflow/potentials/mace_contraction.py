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

from collections import Counter
from collections.abc import Sequence
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
        monomials = [[_monomials(tensor) for tensor in one] for one in tensors]
        splits = _splits({key for one in monomials for order in one for key in order})
        pairs = sorted({pair for pair, _ in splits.values()})
        places = {key: (pairs.index(pair), last) for key, (pair, last) in splits.items()}
        components = tensors[0][0].shape[1]
        self.left: Tensor
        self.right: Tensor
        for side, name in enumerate(("left", "right")):
            selection = _selection([pair[side] for pair in pairs], components)
            self.register_buffer(name, selection, persistent=False)
        self.names: list[list[str]] = []
        for index, orders in enumerate(monomials):
            matrix = torch.cat([_matrix(one, places, len(pairs), components) for one in orders])
            self.register_buffer(f"matrix_{index}", matrix.flatten(1), persistent=False)
            self.names.append(_names(f"{prefix}.contractions.{index}", len(orders)))
        self.shape = (len(pairs), components)

    def forward(self, coefficients: list[Tensor], message: Tensor) -> list[Tensor]:
        """message (k, n_elements, rows, components, channels) to blocks (..., m, channels)."""
        x = message.permute(0, 1, 4, 2, 3).contiguous()
        left, right = (x @ matrix[:-1] + matrix[-1] for matrix in (self.left, self.right))
        pairs = left * right
        return [self._one(pairs, x, one) for one in coefficients]

    def _one(self, pairs: Tensor, x: Tensor, coefficients: Tensor) -> Tensor:
        inner = (pairs @ coefficients).unflatten(-1, (-1, self.shape[1]))
        out: Tensor = (inner * x.unsqueeze(-2)).sum(-1).permute(0, 1, 3, 4, 2)
        return out

    def matrices(self, named: dict[str, Tensor], present: Tensor) -> list[Tensor]:
        """Coefficients (k, n_elements, channels, pairs, m i) of each output, present elements."""
        return [self._coefficients(named, index, present) for index in range(len(self.names))]

    def _coefficients(self, named: dict[str, Tensor], index: int, present: Tensor) -> Tensor:
        weights = [named[name].index_select(1, present) for name in self.names[index]]
        joined = torch.cat(weights, dim=2).transpose(2, 3)
        coupled = joined @ self.get_buffer(f"matrix_{index}")
        coefficients: Tensor = coupled.unflatten(-1, (self.shape[0], -1))
        return coefficients


Monomial = tuple[int, ...]
"""Components whose product it is, in rising order."""
Split = tuple[tuple[int, int], int]
"""A pair and a third factor; -1 stands for the factor 1."""


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


def _monomials(tensor: Tensor) -> dict[Monomial, Tensor]:
    """Non-zero monomials of one order: coupling (paths, m) summed over the factors' orders."""
    sums: dict[Monomial, Tensor] = {}
    largest = tensor.abs().amax((0, -1))
    for factors in (largest > 0.0).nonzero().tolist():
        key = tuple(sorted(factors))
        coupling = tensor[(slice(None), *factors)].T
        sums[key] = sums[key] + coupling if key in sums else coupling
    rounding = 1e-7 * float(tensor.abs().max())
    kept = {key: value for key, value in sums.items() if float(value.abs().max()) > rounding}
    return kept or {next(iter(sums), (0,) * (tensor.ndim - 2)): tensor.new_zeros(_size(tensor))}


def _size(tensor: Tensor) -> tuple[int, int]:
    return tensor.shape[-1], tensor.shape[0]


def _splits(monomials: set[Monomial]) -> dict[Monomial, Split]:
    """Split every monomial such that few pairs occur: the most common pair first."""
    left = {key: _ways(key) for key in sorted(monomials)}
    chosen: dict[Monomial, Split] = {}
    while left:
        counts = Counter(pair for ways in left.values() for pair in ways)
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        found = {key: (best, ways[best]) for key, ways in left.items() if best in ways}
        chosen |= found
        left = {key: ways for key, ways in left.items() if key not in found}
    return chosen


def _ways(monomial: Monomial) -> dict[tuple[int, int], int]:
    """Third factors by pair, of up to three factors filled up with 1."""
    ways = {}
    for index, last in enumerate(monomial):
        first, second = (-1, -1, *monomial[:index], *monomial[index + 1 :])[-2:]
        ways[first, second] = last
    return ways


def _matrix(
    monomials: dict[Monomial, Tensor],
    places: dict[Monomial, tuple[int, int]],
    n_pairs: int,
    components: int,
) -> Tensor:
    """(paths, pairs, m, components) of one order."""
    paths, m = next(iter(monomials.values())).shape
    matrix = torch.zeros(paths, n_pairs, m, components, dtype=torch.float64)
    for key, coupling in monomials.items():
        pair, last = places[key]
        matrix[:, pair, :, last] = coupling
    return matrix


def _selection(factors: Sequence[int], components: int) -> Tensor:
    """(components + 1, pairs): picks a component; the last row adds the factor 1."""
    matrix = torch.zeros(components + 1, len(factors), dtype=torch.float64)
    matrix[list(factors), torch.arange(len(factors))] = 1.0
    return matrix
