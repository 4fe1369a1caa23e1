"""Messages of MACE: neighbours' features, weighted by distance and turned by direction, summed.

For every path p from features of degree l1 through harmonics to messages of degree l3,

    f_p[n, m3, c] = sum_d sum_m1  T_p[n, d, m1, m3]  W[e, p, c]  h[j(e), m1, c],    T_p = Y[e] . C_p

with e = (n, d) the edge from neighbour d of atom n, j(e) its sender, Y its harmonics, C_p the
coupling and W the radial weights of its pair. The sum over (d, m1) is a matrix product for each
atom. Edges have far more numbers than atoms, so nothing that belongs to an edge is kept: atoms are
worked on a few at a time, small enough for the processor's cache, and derivatives are written out.
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

CACHED = 2**17
"""Numbers of one edge array worked on at a time: half a megabyte in float32."""


@dataclass(frozen=True, eq=False)
class Wiring:
    """Which rows the edges read, with D edges for each atom. pair, sender: (n_atoms D,)."""

    coupling: Coupling
    pair: Tensor
    sender: Tensor
    n_near: int


def messages(
    wiring: Wiring, harmonics: Tensor, radial: Tensor, blocks: Sequence[Tensor]
) -> list[Tensor]:
    """f of every path, (n_atoms, 2 l3 + 1, channels).

    harmonics: (n_atoms D, (lmax + 1)^2); radial: (n_pairs, channels of all paths); blocks: of
    features, (rows, 2 l1 + 1, channels).
    """
    return list(_Messages.apply(wiring, harmonics, radial, *blocks))


class _Messages(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, wiring: Wiring, harmonics: Tensor, radial: Tensor, *blocks: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.wiring = wiring
        ctx.save_for_backward(harmonics, radial, *blocks)
        sums = _empty_sums(wiring, harmonics)
        for part in _parts(wiring, harmonics, radial, blocks):
            for path in part.paths():
                torch.bmm(
                    path.turn.transpose(1, 2),
                    part.rows(path.weighted()),
                    out=sums[path.number][part.atoms],
                )
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_Slopes.apply(ctx.wiring, len(slopes), *slopes, *ctx.saved_tensors)


class _Slopes(torch.autograd.Function):
    """Derivatives of L = <g, f> by Y, W and h."""

    @staticmethod
    def forward(ctx: Any, wiring: Wiring, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        slopes = [slope.contiguous() for slope in tensors[:count]]
        harmonics, radial, *blocks = tensors[count:]
        ctx.wiring, ctx.count = wiring, count
        ctx.save_for_backward(*slopes, harmonics, radial, *blocks)
        by_harmonics = torch.zeros_like(harmonics)
        sink = _Sink(wiring, radial, blocks)
        for part in _parts(wiring, harmonics, radial, blocks):
            for path in part.paths():
                slope = slopes[path.number][part.atoms]
                pulled = part.edges(path.turn @ slope, path)
                sink.add(path, [(pulled, path.factor, path.sent)])
                turned = part.rows(path.weighted()) @ slope.transpose(1, 2)
                by_harmonics[part.here].addmm_(turned.reshape(len(path.sent), -1), path.table.T)
            sink.flush(part)
        return by_harmonics, sink.radial, *sink.blocks

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        wiring, count = ctx.wiring, ctx.count
        slopes, (harmonics, radial, *blocks) = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        by_slopes = _empty_sums(wiring, harmonics)
        sink = _Sink(wiring, radial, blocks)
        for part, other in zip(
            _parts(wiring, harmonics, radial, blocks),
            _parts(wiring, *along[:2], along[2:]),
            strict=True,
        ):
            for path, second in zip(part.paths(), other.paths(), strict=True):
                out = by_slopes[path.number][part.atoms]
                torch.bmm(second.turn.transpose(1, 2), part.rows(path.weighted()), out=out)
                mixed = path.weighted(sent=second.sent) + path.weighted(factor=second.factor)
                out.baddbmm_(path.turn.transpose(1, 2), part.rows(mixed))
                slope = slopes[path.number][part.atoms]
                pulled = part.edges(path.turn @ slope, path)
                turned = part.edges(second.turn @ slope, path)
                sink.add(
                    path, [(turned, path.factor, path.sent), (pulled, second.factor, second.sent)]
                )
            sink.flush(part)
        return None, None, *by_slopes, None, sink.radial, *sink.blocks


@dataclass(frozen=True, eq=False)
class _Path:
    """One path on some atoms. turn: (atoms, D m1, m3); factor: (edges, 1, c); sent: (edges, m1, c);
    block, columns: where they come from; table: of the coupling."""

    number: int
    block: int
    columns: slice
    table: Tensor
    turn: Tensor
    factor: Tensor
    sent: Tensor

    def weighted(self, *, factor: Tensor | None = None, sent: Tensor | None = None) -> Tensor:
        """W h (edges, m1, c), with either replaced."""
        return (self.factor if factor is None else factor) * (self.sent if sent is None else sent)


@dataclass(frozen=True, eq=False)
class _Part:
    """Some atoms and their edges: harmonics, weights (edges, all paths) and senders' features."""

    wiring: Wiring
    atoms: slice
    here: slice
    harmonics: Tensor
    radial: Tensor
    sent: list[Tensor]

    def paths(self) -> Iterator[_Path]:
        """Every path on these atoms."""
        coupling, start = self.wiring.coupling, 0
        for number, table in enumerate(coupling.tables()):
            block, m_out = coupling.paths[number]
            columns = slice(start, start + coupling.widths[number])
            start = columns.stop
            turn = (self.harmonics @ table).view(self.atoms.stop - self.atoms.start, -1, m_out)
            factor = self.radial[:, columns].unsqueeze(1)
            yield _Path(number, block, columns, table, turn, factor, self.sent[block])

    def rows(self, edges: Tensor) -> Tensor:
        """(edges, m1, c) as (atoms, D m1, c)."""
        return edges.view(self.atoms.stop - self.atoms.start, -1, edges.shape[-1])

    def edges(self, rows: Tensor, path: _Path) -> Tensor:
        """(atoms, D m1, c) as (edges, m1, c)."""
        return rows.view(path.sent.shape)


class _Sink:
    """Collects derivatives by W and h: first for the edges of a part, then for pairs and rows."""

    def __init__(self, wiring: Wiring, radial: Tensor, blocks: Sequence[Tensor]) -> None:
        self.wiring = wiring
        self.radial = torch.zeros_like(radial)
        self.blocks = [torch.zeros_like(block) for block in blocks]
        self.by_radial: Tensor | None = None
        self.by_sent: dict[int, Tensor] = {}

    def add(self, path: _Path, terms: list[tuple[Tensor, Tensor, Tensor]]) -> None:
        """Terms (q, W, h), each of which gives sum_m1 q h to the slope by W and q W to that by h."""
        if self.by_radial is None:
            self.by_radial = self.radial.new_empty(len(path.sent), self.radial.shape[1])
        if path.block not in self.by_sent:
            self.by_sent[path.block] = torch.zeros_like(path.sent)
        (first, factor, sent), *others = terms
        product = first * sent
        self.by_sent[path.block].addcmul_(first, factor)
        for pulled, factor, sent in others:
            product.addcmul_(pulled, sent)
            self.by_sent[path.block].addcmul_(pulled, factor)
        torch.sum(product, 1, out=self.by_radial[:, path.columns])

    def flush(self, part: _Part) -> None:
        """Give the edges' sums to pairs and senders."""
        if self.by_radial is not None:
            self.radial.index_add_(0, self.wiring.pair[part.here], self.by_radial)
        for block, values in self.by_sent.items():
            target = self.blocks[block].flatten(1)
            target.index_add_(0, self.wiring.sender[part.here], values.flatten(1))
        self.by_radial, self.by_sent = None, {}


def _parts(
    wiring: Wiring, harmonics: Tensor, radial: Tensor, blocks: Sequence[Tensor]
) -> Iterator[_Part]:
    """Atoms, a few at a time."""
    n_atoms = len(harmonics) // wiring.n_near
    widest = max(block[0].numel() for block in blocks) * wiring.n_near
    step = max(1, CACHED // widest)
    for start in range(0, n_atoms, step):
        atoms = slice(start, min(start + step, n_atoms))
        here = slice(atoms.start * wiring.n_near, atoms.stop * wiring.n_near)
        weights = radial.index_select(0, wiring.pair[here])
        sent = [block.index_select(0, wiring.sender[here]) for block in blocks]
        yield _Part(wiring, atoms, here, harmonics[here], weights, sent)


def _empty_sums(wiring: Wiring, harmonics: Tensor) -> list[Tensor]:
    n_atoms, coupling = len(harmonics) // wiring.n_near, wiring.coupling
    return [
        harmonics.new_empty(n_atoms, m_out, width)
        for (_, m_out), width in zip(coupling.paths, coupling.widths, strict=True)
    ]
