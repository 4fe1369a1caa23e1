"""CHGNet's gate and sums have the derivatives of their formulas, first and second."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.autograd import gradgradcheck
from torch.nn import functional

from bnnflow.potentials import chgnet_gate, chgnet_sums
from bnnflow.potentials.chgnet_basis import COSINE, angular, radial
from bnnflow.potentials.chgnet_gate import gate
from bnnflow.potentials.chgnet_sums import AngleWiring, EdgeWiring, silu_of_sum, turned

K, ROWS, CHANNELS = 2, 3, 5


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_(True)


def gate_inputs() -> list[Tensor]:
    shapes = [(K, 2, ROWS, CHANNELS), (K, 2, 1, CHANNELS), (K, 2, 1, CHANNELS)]
    return [drawn(*shape, seed=seed) for seed, shape in enumerate(shapes)]


def centred_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return gate(x - x.mean(-1, keepdim=True), weight * 1.0, bias * 1.0)


def plain_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """As CHGNet writes it."""
    core, other = (functional.layer_norm(x, x.shape[-1:]) * weight + bias).unbind(1)
    return functional.silu(core) * torch.sigmoid(other)


def forces_then_parameters(
    function: Callable[..., Tensor], inputs: list[Tensor]
) -> tuple[Tensor, ...]:
    """Derivatives of values and of slopes by the first input, as training takes them."""
    value = function(*inputs)
    weights = drawn(*value.shape, seed=9).detach()
    (slope,) = torch.autograd.grad((value * weights + value**2).sum(), inputs[0], create_graph=True)
    along = drawn(*slope.shape, seed=8).detach()
    return torch.autograd.grad((slope * along).sum() + value.sum(), inputs)


@pytest.mark.parametrize("at_once", [1, chgnet_gate.ENTRIES_AT_ONCE])
def test_gate_and_its_derivatives(at_once: int) -> None:
    inputs = gate_inputs()
    torch.testing.assert_close(centred_gate(*inputs), plain_gate(*inputs))
    with patch.object(chgnet_gate, "ENTRIES_AT_ONCE", at_once):
        found = forces_then_parameters(centred_gate, inputs)
    expected = forces_then_parameters(plain_gate, inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_gate_differentiates_by_parameters_once() -> None:
    x, weight, bias = gate_inputs()
    value = centred_gate(x, weight, bias).sum()
    with pytest.raises(RuntimeError, match="expected one by positions at most"):
        torch.autograd.grad(value, weight, create_graph=True)


def edge_wiring(n_bonds: int) -> tuple[EdgeWiring, list[Tensor]]:
    """Three atoms in a ring, each with both others for neighbours, and their parts."""
    receiver = torch.arange(3).repeat_interleave(2)
    sender = torch.tensor([1, 2, 0, 2, 0, 1])
    edges = {pair: i for i, pair in enumerate(zip(receiver.tolist(), sender.tolist(), strict=True))}
    reverse = torch.tensor([edges[s, r] for r, s in edges])
    sets = torch.arange(2 * K)[:, None]
    wiring = EdgeWiring((sender + 3 * sets).flatten(), (reverse + 6 * sets).flatten(), n_bonds)
    parts = [drawn(K, 2, 3, CHANNELS, seed=seed) for seed in (1, 2)]
    return wiring, [*parts, *([drawn(K, 2, 3, n_bonds, CHANNELS, seed=3)] if n_bonds else [])]


def plain_edges(own: Tensor, centre: Tensor, neighbour: Tensor, *bond: Tensor) -> Tensor:
    """The same ring."""
    others = torch.tensor([[1, 2], [0, 2], [0, 1]])
    total = own + centre.unsqueeze(3) + neighbour[:, :, others]
    for part in bond:
        total = total + functional.pad(part, (0, 0, 0, total.shape[3] - part.shape[3]))
    return functional.silu(total)


@pytest.mark.parametrize("n_bonds", [0, 1, 2])
def test_sum_over_an_edge_and_its_derivatives(n_bonds: int) -> None:
    wiring, parts = edge_wiring(n_bonds)
    inputs = [drawn(K, 2, 3, 2, CHANNELS), *parts]

    def function(*tensors: Tensor) -> Tensor:
        return silu_of_sum(wiring, *tensors)

    torch.testing.assert_close(function(*inputs), plain_edges(*inputs))
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("at_once", [7, chgnet_sums.ENTRIES_AT_ONCE])
def test_sum_over_an_angle_and_its_derivatives(at_once: int) -> None:
    n_bonds, atoms = 3, 2
    rows = atoms * n_bonds
    inputs = [
        drawn(1, 2, rows, n_bonds, CHANNELS),
        drawn(1, 2, rows, CHANNELS, seed=1),
        drawn(1, 2, atoms, n_bonds, CHANNELS, seed=2),
    ]

    def function(*tensors: Tensor) -> Tensor:
        return silu_of_sum(AngleWiring(), *tensors)

    own, first, second = inputs
    other = second.unsqueeze(3).expand(-1, -1, -1, n_bonds, -1, -1).flatten(2, 3)
    torch.testing.assert_close(function(*inputs), functional.silu(own + first.unsqueeze(3) + other))
    with patch.object(chgnet_sums, "ENTRIES_AT_ONCE", at_once):
        assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_large_negative_sums_do_not_underflow(dtype: torch.dtype) -> None:
    own = torch.full((1, 2, 1, 1, 64), -90.0, dtype=dtype).requires_grad_(True)
    parts = [torch.zeros(1, 2, 1, 64, dtype=dtype) for _ in range(2)]
    value = silu_of_sum(EdgeWiring(torch.arange(2), torch.arange(2), 0), own, *parts)
    (slope,) = torch.autograd.grad(value.sum(), own, create_graph=True)
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-15)
    assert (slope.abs() > torch.finfo(dtype).tiny).all()


def test_turned_is_its_own_transpose() -> None:
    order = torch.tensor([2, 1, 0, 4, 3])
    values = drawn(5, 2)
    assert torch.equal(turned(values, order), values[order])
    assert gradgradcheck(lambda x: turned(x, order) ** 2, [values])


def test_radial_functions_are_those_of_the_paper() -> None:
    """sqrt(2 / 5) sin(n pi r / 5) / r times 1 - 28 x^6 + 48 x^7 - 21 x^8 at p = 6."""
    r = torch.tensor([[[[1.0], [2.5], [5.0], [7.0]]]], dtype=torch.float64)
    frequencies = torch.pi * torch.arange(1, 4, dtype=torch.float64)[None]
    found = radial(r, frequencies, cutoff=5.0, envelope=6)
    x = r / 5.0
    smooth = torch.where(x < 1, 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, 0.0)
    expected = (2 / 5) ** 0.5 * torch.sin(frequencies * x) / r * smooth
    torch.testing.assert_close(found[..., :3], expected)
    assert not found[..., 3].any()
    assert not found[..., 2:, :].any()


def test_angular_functions_are_a_fourier_series() -> None:
    """A right angle, and none."""
    directions = torch.eye(3, dtype=torch.float64)[None, None, :2]
    frequencies = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    found = angular(directions, frequencies)
    right = torch.tensor([0.5**0.5, 1.0, 0.0, 0.0, -1.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(found[0, 0, 1], right / torch.pi**0.5, rtol=0, atol=1e-12)
    least = torch.tensor(COSINE, dtype=torch.float64).acos()
    assert found[0, 0, 0, 1].item() == pytest.approx(least.sin().item() / torch.pi**0.5)
