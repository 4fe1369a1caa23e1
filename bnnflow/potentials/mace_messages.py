"""Messages of MACE: neighbours' features, weighted by distance and turned by direction, summed.

For every path p from features of degree l1 through harmonics to messages of degree l3,

    f_p[n, m3, c] = sum_d sum_m1  T_p[n, d, m1, m3]  W[e, p, c]  h[j(e), m1, c],    T_p = Y[e] . C_p

with e = (n, d) the edge from neighbour d of atom n, j(e) its sender, Y its harmonics, C_p the
coupling and W the radial weights of its pair. The sum over d is a matrix product for each atom and
component m1. Edges have far more numbers than atoms, so nothing that belongs to an edge is kept:
atoms are worked on some at a time, and derivatives are written out.
f is linear in each of Y, W and h, hence so is L = <g, f> in each of Y, W, h and g, and the
derivative of a directional derivative of L along (vY, vW, vh) is that of

    L(vY, W, h, g) + L(Y, vW, h, g) + L(Y, W, vh, g).

Second derivatives by Y are left out: training differentiates forces by the parameters only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bnnflow.potentials.mace_tables import Coupling

CACHED = 2**19
"""Numbers of one edge array worked on at a time, two megabytes in float32. It bounds the memory;
the time was the same from 2^15 to 2^22."""


@dataclass(frozen=True, eq=False)
class Wiring:
    """Which rows the edges read, with D edges for each atom. pair, sender: (n_atoms D,)."""

    coupling: Coupling
    pair: Tensor
    sender: Tensor
    n_near: int


def messages(
    wiring: Wiring, harmonics: Tensor, radial: Sequence[Tensor], features: Sequence[Tensor]
) -> list[Tensor]:
    """f of every path, (n_atoms, 2 l3 + 1, channels).

    harmonics: (n_atoms D, (lmax + 1)^2); radial: (n_pairs, channels) of each path; features:
    (rows, channels) of each component m1 of each block. Every array of edges is contiguous.
    """
    return list(_Messages.apply(wiring, harmonics, *radial, *features))  # type: ignore[no-untyped-call]


class _Messages(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wiring: Wiring, harmonics: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        ctx.wiring = wiring
        ctx.save_for_backward(harmonics, *inputs)
        sums = _sums(wiring, harmonics)
        for part in _parts(wiring, harmonics, inputs):
            for path in part.paths():
                for turn, sent in zip(path.turns, path.sent, strict=True):
                    part.collect(sums[path.number], turn, path.factor * sent)
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        tensors = (*slopes, *ctx.saved_tensors)
        return None, *_Slopes.apply(ctx.wiring, len(slopes), *tensors)  # type: ignore[no-untyped-call]


class _Slopes(torch.autograd.Function):
    """Derivatives of L = <g, f> by Y, W and h."""

    @staticmethod
    def forward(ctx: Any, wiring: Wiring, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        slopes = [slope.contiguous() for slope in tensors[:count]]
        harmonics, *inputs = tensors[count:]
        ctx.wiring, ctx.count = wiring, count
        ctx.save_for_backward(*slopes, harmonics, *inputs)
        by_harmonics = torch.zeros_like(harmonics)
        sink = _Sink(wiring, inputs)
        for part in _parts(wiring, harmonics, inputs):
            for path in part.paths():
                slope = slopes[path.number][part.atoms]
                for m, (turn, sent) in enumerate(zip(path.turns, path.sent, strict=True)):
                    pulled = (turn @ slope).flatten(0, 1)
                    sink.add(path, m, pulled, path.factor, sent)
                    turned = part.rows(path.factor * sent) @ slope.transpose(1, 2)
                    by_harmonics[part.here].addmm_(turned.flatten(0, 1), path.tables[m].T)
            sink.flush(part)
        return by_harmonics, *sink.totals

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        wiring, count = ctx.wiring, ctx.count
        slopes, (harmonics, *inputs) = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        by_slopes = _sums(wiring, harmonics)
        sink = _Sink(wiring, inputs)
        parts = _parts(wiring, harmonics, inputs), _parts(wiring, along[0], along[1:])
        for part, other in zip(*parts, strict=True):
            for path, second in zip(part.paths(), other.paths(), strict=True):
                slope, out = slopes[path.number][part.atoms], by_slopes[path.number]
                for m, (turn, sent) in enumerate(zip(path.turns, path.sent, strict=True)):
                    part.collect(out, second.turns[m], path.factor * sent)
                    mixed = torch.addcmul(path.factor * second.sent[m], second.factor, sent)
                    part.collect(out, turn, mixed)
                    pulled = (turn @ slope).flatten(0, 1)
                    sink.add(path, m, pulled, second.factor, second.sent[m])
                    torch.bmm(second.turns[m], slope, out=part.rows(pulled))
                    sink.add(path, m, pulled, path.factor, sent)
            sink.flush(part)
        return None, None, *by_slopes, None, *sink.totals


@dataclass(frozen=True, eq=False)
class _Path:
    """One path on some atoms. factor: (edges, c); by component m1: inputs (their numbers), sent
    (edges, c), tables and turns (atoms, D, m3)."""

    number: int
    factor: Tensor
    inputs: list[int]
    sent: list[Tensor]
    tables: list[Tensor]
    turns: list[Tensor]


@dataclass(frozen=True, eq=False)
class _Part:
    """Some atoms and their edges: harmonics and all inputs, (edges, c) each."""

    wiring: Wiring
    atoms: slice
    here: slice
    harmonics: Tensor
    inputs: list[Tensor]

    def paths(self) -> Iterator[_Path]:
        """Every path on these atoms."""
        coupling = self.wiring.coupling
        for number, tables in enumerate(coupling.tables()):
            inputs = coupling.components(number)
            yield _Path(
                number=number,
                factor=self.inputs[number],
                inputs=inputs,
                sent=[self.inputs[index] for index in inputs],
                tables=tables,
                turns=[self.rows(self.harmonics @ table) for table in tables],
            )

    def rows(self, edges: Tensor) -> Tensor:
        """(edges, c) as (atoms, D, c)."""
        return edges.view(-1, self.wiring.n_near, edges.shape[-1])

    def collect(self, sums: Tensor, turn: Tensor, weighted: Tensor) -> None:
        """Add the sum over neighbours to these atoms' rows."""
        sums[self.atoms].baddbmm_(turn.transpose(1, 2), self.rows(weighted))


class _Sink:
    """Collects derivatives by W and h: first for the edges of a part, then for pairs and rows."""

    def __init__(self, wiring: Wiring, inputs: Sequence[Tensor]) -> None:
        self.wiring = wiring
        self.totals = [torch.zeros_like(value) for value in inputs]
        self.edges: dict[int, Tensor] = {}

    def add(self, path: _Path, m: int, pulled: Tensor, factor: Tensor, sent: Tensor) -> None:
        """q h to the slope by W, and q W to that by h, for component m of a path."""
        self._add(path.number, pulled, sent)
        self._add(path.inputs[m], pulled, factor)

    def _add(self, number: int, left: Tensor, right: Tensor) -> None:
        if number in self.edges:
            self.edges[number].addcmul_(left, right)
        else:
            self.edges[number] = left * right

    def flush(self, part: _Part) -> None:
        """Give the edges' sums to pairs and senders."""
        for number, values in self.edges.items():
            self.totals[number].index_add_(0, _index(self.wiring, number, part.here), values)
        self.edges = {}


def _index(wiring: Wiring, number: int, here: slice) -> Tensor:
    """The rows that edges read of an input: weights come first, features after them."""
    return (wiring.pair if number < len(wiring.coupling.paths) else wiring.sender)[here]


def _parts(wiring: Wiring, harmonics: Tensor, inputs: Sequence[Tensor]) -> Iterator[_Part]:
    """Atoms, a few at a time."""
    near = wiring.n_near
    n_atoms = len(harmonics) // near
    step = max(1, CACHED // (near * max(value.shape[1] for value in inputs)))
    for start in range(0, n_atoms, step):
        atoms = slice(start, min(start + step, n_atoms))
        here = slice(atoms.start * near, atoms.stop * near)
        read = [
            value.index_select(0, _index(wiring, number, here))
            for number, value in enumerate(inputs)
        ]
        yield _Part(wiring, atoms, here, harmonics[here], read)


def _sums(wiring: Wiring, harmonics: Tensor) -> list[Tensor]:
    n_atoms, coupling = len(harmonics) // wiring.n_near, wiring.coupling
    return [
        harmonics.new_zeros(n_atoms, m_out, width)
        for (_, m_out), width in zip(coupling.paths, coupling.widths, strict=True)
    ]
