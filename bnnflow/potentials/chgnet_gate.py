"""CHGNet's gate, silu(norm(core)) sigmoid(norm(gate)), differentiated twice in few passes.

Training on forces differentiates the network twice, and torch's own second derivative of a layer
norm and its activation takes some hundred passes over memory that is far from the processor. Here
they are some ten, and the others stay within its cache.

The layer before is built such that its channels have no mean (`chgnet_weights`), so that a layer
norm is x^ = r x with r = (mean(x²) + eps)^-1/2. With y = gamma x^ + beta, u and v its two halves,

    m = silu(u) q(v),   q = sigmoid
    dm/dx . g = P(gamma e),   e_u = g q silu'(u),   e_v = g silu(u) q'(v)
    P(y) = r (y - x^ mean(y x^)),

and P, which is symmetric, is differentiated once more:

    d<h, P(y)> / dx = -r² d x^ - r (b P(y) + a P(h)),
    a = mean(y x^),   b = mean(h x^),   d = mean(h y) - a b.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-5
"""Added to a variance; torch's default, with which CHGNet was trained."""
ENTRIES_AT_ONCE = 2**17
"""Numbers that the second derivative works on at a time, so that they stay in the cache."""


def gate(halves: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(k, 2, R, c) core and gate, of mean zero, to (k, R, c).

    weight, bias: (k, 2, 1, c) gamma and beta. Differentiable twice, the first time by `halves`
    alone: raises RuntimeError otherwise.
    """
    return _Gate.apply(halves, weight, bias)  # type: ignore[no-any-return, no-untyped-call]


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        unit, scale = _normalised(x)
        y = torch.addcmul(bias, unit, weight)
        s = torch.sigmoid(y)
        ctx.save_for_backward(x, weight, bias, unit, scale, y, s)
        return (y[:, 0] * s[:, 0]).mul_(s[:, 1])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, weight, bias, *rest = ctx.saved_tensors
        if torch.is_grad_enabled():  # forces, to be differentiated by the parameters next
            _refuse_twice_by_parameters(ctx)
            return _Slope.apply(g, x, weight, bias, *rest), None, None  # type: ignore[no-untyped-call]
        unit, scale, y, s = rest
        e = _first(g, y, s)
        by_weight = (e * unit).sum(2, keepdim=True) if ctx.needs_input_grad[1] else None
        by_bias = e.sum(2, keepdim=True) if ctx.needs_input_grad[2] else None
        return _pulled(e.mul_(weight), unit, scale)[0], by_weight, by_bias


def _refuse_twice_by_parameters(ctx: Any) -> None:
    """Rather an error than a derivative without a part of it."""
    for node, _ in ctx.next_functions[1:]:
        if node is not None and torch._C._will_engine_execute_node(node):
            raise RuntimeError(
                "second derivatives of CHGNet by its parameters were asked for, expected one by "
                "positions at most before that by parameters"
            )


class _Slope(torch.autograd.Function):
    """The first derivative, as a function that is differentiated once."""

    @staticmethod
    def forward(
        ctx: Any,
        g: Tensor,
        _x: Tensor,
        weight: Tensor,
        _bias: Tensor,
        unit: Tensor,
        scale: Tensor,
        y: Tensor,
        s: Tensor,
    ) -> Tensor:
        e = _first(g, y, s)
        slope, a = _pulled(e * weight, unit, scale)
        ctx.save_for_backward(g, weight, unit, scale, y, s, e, slope, a)
        return slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, h: Tensor) -> Any:
        saved = ctx.saved_tensors
        step = max(1, ENTRIES_AT_ONCE * len(h) // h.numel())
        parts = [
            _second(*(each[start : start + step] for each in (h, *saved)))
            for start in range(0, len(h), step)
        ]
        by_g, by_x, by_weight, by_bias = (torch.cat(part) for part in zip(*parts, strict=True))
        return by_g, by_x, by_weight, by_bias, None, None, None, None


def _normalised(x: Tensor) -> tuple[Tensor, Tensor]:
    """x^ and r (k, 2, R, 1)."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    scale = norm.square_().mul_(1.0 / x.shape[-1]).add_(EPSILON).rsqrt_()
    return x * scale, scale


def _pulled(y: Tensor, unit: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """P(y), in place of y, and a = mean(y x^)."""
    a = (y * unit).mean(-1, keepdim=True)
    return y.addcmul_(unit, a, value=-1.0).mul_(scale), a


def _first(g: Tensor, y: Tensor, s: Tensor) -> Tensor:
    """e (k, 2, R, c); s = sigmoid(y)."""
    e = 1.0 - s
    core, gate = e[:, 0], e[:, 1]
    u, su, q = y[:, 0], s[:, 0], s[:, 1]
    core.mul_(u).add_(1.0).mul_(su).mul_(q).mul_(g)
    gate.mul_(q).mul_(su).mul_(u).mul_(g)
    return e


def _second(
    h: Tensor,
    g: Tensor,
    weight: Tensor,
    unit: Tensor,
    scale: Tensor,
    y: Tensor,
    s: Tensor,
    e: Tensor,
    slope: Tensor,
    a: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Derivatives of <h, slope> by g, x, gamma and beta."""
    z, b = _pulled(h.clone(), unit, scale)
    d = ((h * e).mul_(weight)).mean(-1, keepdim=True) - a * b
    by_x = unit * (d * scale).mul_(scale).neg_()
    by_x.addcmul_(slope, b * scale, value=-1.0).addcmul_(z, a * scale, value=-1.0)
    by_g, t = _by_halves(z * weight, g, y, s)
    by_weight = (t * unit).addcmul_(z, e).sum(2, keepdim=True)
    by_bias = t.sum(2, keepdim=True)
    by_x += _pulled(t.mul_(weight), unit, scale)[0]
    return by_g, by_x, by_weight, by_bias


def _by_halves(z: Tensor, g: Tensor, y: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of <z, e> by g (k, R, c) and by y (k, 2, R, c)."""
    zu, zv = z.unbind(1)
    u, su, q = y[:, 0], s[:, 0], s[:, 1]
    rest = 1.0 - s
    silu = u * su
    silu_1 = torch.addcmul(su, silu, rest[:, 0])
    curve = su * rest[:, 0]  # of a sigmoid, s (1 - s)
    silu_2 = torch.addcmul(curve + curve, torch.mul(u, curve), 1.0 - 2.0 * su)
    q_1 = q * rest[:, 1]
    q_2 = q_1 * (1.0 - 2.0 * q)
    by_g = (zu * q).mul_(silu_1).addcmul_(zv * silu, q_1)
    t = torch.empty_like(z)
    torch.mul(zu * q, silu_2, out=t[:, 0]).addcmul_(zv * silu_1, q_1)
    torch.mul(zu * silu_1, q_1, out=t[:, 1]).addcmul_(zv * silu, q_2)
    t.mul_(g.unsqueeze(1))
    return by_g, t
