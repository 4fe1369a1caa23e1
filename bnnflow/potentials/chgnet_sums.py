"""silu of what an edge or an angle and its surroundings contribute, differentiated twice.

The first layer of CHGNet's networks is linear in the features of an edge, of the two atoms at its
ends and of the bond along it. So each is multiplied where it is defined, once for an atom however
many edges it has, and the products are added up:

    h = silu(own + spread(parts)),

with `spread` a sum of copies and `fold` its transpose. Neither scatters: an edge's neighbour is the
centre of the reverse edge, so what comes back to an atom as a neighbour is a sum over a row too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

LEAST = {torch.float32: -40.0, torch.float64: -400.0}
"""What a sum counts as when it is less. silu and its slopes are zero there to rounding; left as
they are they underflow in products, and numbers so small slow a processor down several times."""
ENTRIES_AT_ONCE = 2**17
"""Numbers that the second derivative works on at a time, so that they stay in the cache."""


class Wiring(Protocol):
    """How parts are added to a total (k, 2, R, S, c): k members, two halves, R rows of S slots."""

    def spread_(self, total: Tensor, parts: Sequence[Tensor]) -> Tensor:
        """The total with the parts added, in place."""
        ...

    def fold(self, slope: Tensor) -> tuple[Tensor, ...]:
        """Derivatives by each of the parts."""
        ...


@dataclass(frozen=True, eq=False)
class EdgeWiring:
    """Parts: centre and neighbour (k, 2, R, c) by atom and, with n_bonds, bond (k, 2, R, n_bonds,
    c) for the first slots. sender: (k 2 R S,) atom and reverse: (k 2 R S,) edge of every edge,
    counted through all members and halves."""

    sender: Tensor
    reverse: Tensor
    n_bonds: int

    def spread_(self, total: Tensor, parts: Sequence[Tensor]) -> Tensor:
        """See `Wiring`."""
        centre, neighbour, *bond = parts
        total.add_(centre.unsqueeze(3))
        total.add_(neighbour.flatten(0, 2).index_select(0, self.sender).view_as(total))
        for part in bond:
            total[:, :, :, : self.n_bonds].add_(part)
        return total

    def fold(self, slope: Tensor) -> tuple[Tensor, ...]:
        """See `Wiring`."""
        back = slope.flatten(0, 3).index_select(0, self.reverse).view_as(slope)
        parts = (slope.sum(3), back.sum(3))
        return (*parts, slope[:, :, :, : self.n_bonds].clone()) if self.n_bonds else parts


@dataclass(frozen=True, eq=False)
class AngleWiring:
    """Parts: first bond (k, 2, R, c), by row, and second bond (k, 2, R / S, S, c), by slot, of the
    angles at the R / S atoms whose S bonds are S rows."""

    def spread_(self, total: Tensor, parts: Sequence[Tensor]) -> Tensor:
        """See `Wiring`."""
        first, second = parts
        total.add_(first.unsqueeze(3))
        _by_atom(total).add_(second.unsqueeze(3))
        return total

    def fold(self, slope: Tensor) -> tuple[Tensor, ...]:
        """See `Wiring`."""
        return slope.sum(3), _by_atom(slope).sum(3)


def _by_atom(angles: Tensor) -> Tensor:
    """(k, 2, R, S, c) to (k, 2, R / S, S, S, c)."""
    members, halves, rows, slots, channels = angles.shape
    return angles.view(members, halves, rows // slots, slots, slots, channels)


def silu_of_sum(wiring: Wiring, own: Tensor, *parts: Tensor) -> Tensor:
    """silu(own + spread(parts)), (k, 2, R, S, c); differentiable twice."""
    return _SiluOfSum.apply(wiring, own, *parts)  # type: ignore[no-any-return, no-untyped-call]


class _SiluOfSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, wiring: Wiring, own: Tensor, *parts: Tensor) -> Tensor:
        total = wiring.spread_(_copy(own), parts).clamp_(min=LEAST[own.dtype])
        ctx.wiring = wiring
        ctx.save_for_backward(total, own, *parts)
        return torch.nn.functional.silu(total)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        total, *inputs = ctx.saved_tensors
        g = g.contiguous()
        if torch.is_grad_enabled():  # forces, to be differentiated by the parameters next
            return None, *_Slope.apply(ctx.wiring, total, g, *inputs)  # type: ignore[no-untyped-call]
        slope = _silu_backward(g, total)
        return None, slope, *ctx.wiring.fold(slope)


class _Slope(torch.autograd.Function):
    """The first derivative, as a function that is differentiated once."""

    @staticmethod
    def forward(
        ctx: Any, wiring: Wiring, total: Tensor, g: Tensor, *_inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.wiring = wiring
        ctx.save_for_backward(total, g)
        slope = _silu_backward(g, total)
        return slope, *wiring.fold(slope)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, along: Tensor, *parts: Tensor) -> Any:
        total, g = ctx.saved_tensors
        along = ctx.wiring.spread_(_copy(along), parts)
        by_total = _silu_twice(total, g, along)
        return None, None, _silu_backward(along, total), by_total, *ctx.wiring.fold(by_total)


def _copy(values: Tensor) -> Tensor:
    return values.clone(memory_format=torch.contiguous_format)


def _silu_backward(g: Tensor, x: Tensor) -> Tensor:
    slope: Tensor = torch.ops.aten.silu_backward(g, x)
    return slope


def _silu_twice(x: Tensor, g: Tensor, along: Tensor) -> Tensor:
    """silu''(x) g h, with silu'' = s (1 - s) (2 + x (1 - 2 s)), s = sigmoid(x)."""
    result = torch.empty_like(x)
    flat = [each.view(-1).split(ENTRIES_AT_ONCE) for each in (x, g, along, result)]
    for part, first, second, out in zip(*flat, strict=True):
        s = torch.sigmoid(part)
        torch.addcmul(part, part, s, value=-2.0, out=out).add_(2.0).mul_(s)
        out.mul_(s.neg_().add_(1.0)).mul_(first).mul_(second)
    return result


def turned(values: Tensor, reverse: Tensor) -> Tensor:
    """values (M, c) in the order `reverse` (M,), which is its own inverse, so its own transpose."""
    return _Turned.apply(values, reverse)  # type: ignore[no-any-return, no-untyped-call]


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, reverse: Tensor) -> Tensor:
        ctx.save_for_backward(reverse)
        return values.index_select(0, reverse)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return _Turned.apply(g, *ctx.saved_tensors), None  # type: ignore[no-untyped-call]
