"""The force-std head starts at s0 and can leave it; the prior is centred on a head of zeros."""

from __future__ import annotations

import torch
from tiny_mace import Tiny, molecules

from bnnflow.potentials.layout import ParameterLayout
from bnnflow.units import FORCE_STD_START


def head_of(tiny: Tiny, parameters: torch.Tensor) -> dict[str, torch.Tensor]:
    named = tiny.potential.layout.unflatten(parameters)
    return {name: value for name, value in named.items() if name.startswith("head.")}


def test_widths_are_those_of_the_paper(vector_mace: Tiny, scalar_mace: Tiny) -> None:
    """Invariant features of both layers (8 + 8 scalars whatever the vectors), 64, 16, 1."""
    for tiny in (vector_mace, scalar_mace):
        head = head_of(tiny, tiny.potential.prior_mean())
        shapes = [tuple(value.shape) for value in head.values()]
        assert shapes == [(64, 16), (64,), (16, 64), (16,), (1, 16), (1,)]


def test_start_gives_s0_everywhere(tiny: Tiny) -> None:
    start = tiny.potential.start(torch.Generator().manual_seed(5))
    output = tiny.potential.evaluate(start[None], tiny.batch(molecules()))
    assert torch.equal(output.force_std, torch.full_like(output.force_std, FORCE_STD_START))


def test_start_can_learn_where_a_head_of_zeros_barely_can(tiny: Tiny) -> None:
    """With zero hidden layers only the last bias has a slope: sigma stays uniform."""

    def moved(parameters: torch.Tensor) -> dict[str, int]:
        leaf = parameters[None].clone().requires_grad_(True)
        output = tiny.potential.evaluate(leaf, tiny.batch(molecules()), create_graph=True)
        (slope,) = torch.autograd.grad(output.force_std.log().sum(), leaf)
        return {name: int((part != 0).sum()) for name, part in head_of(tiny, slope[0]).items()}

    drawn = moved(tiny.potential.start(torch.Generator().manual_seed(5)))
    assert drawn["head.layers.4.weight"] == 16
    assert drawn["head.layers.4.bias"] == 1
    zeros = moved(tiny.potential.prior_mean())
    assert [name for name, count in zeros.items() if count] == ["head.layers.4.bias"]


def test_chains_start_from_the_same_network_with_different_heads(tiny: Tiny) -> None:
    one, same, other = (
        tiny.potential.start(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    names = tiny.potential.layout.unflatten(one != other)
    assert all(name.startswith("head.") for name, part in names.items() if part.any())
    assert names["head.layers.0.weight"].all()


def test_prior_mean_is_the_trained_network_and_a_zero_head(tiny: Tiny) -> None:
    named = tiny.potential.layout.unflatten(tiny.potential.prior_mean())
    for name, value in tiny.stock.named_parameters():
        assert torch.equal(named.pop(f"model.{name}"), value.detach())
    assert all(name.startswith("head.") and not value.any() for name, value in named.items())


def test_prior_mean_is_a_copy(tiny: Tiny) -> None:
    mean, expected = tiny.potential.prior_mean(), tiny.potential.prior_mean()
    mean += 1.0
    assert torch.equal(tiny.potential.prior_mean(), expected)


def test_sigma_follows_the_head(tiny: Tiny) -> None:
    """A last bias of log 3 alone gives 3 s0."""
    named = dict(tiny.potential.layout.unflatten(tiny.potential.prior_mean()))
    named["head.layers.4.bias"] = torch.full((1,), 3.0, dtype=torch.float64).log()
    flat = tiny.potential.layout.flatten(named)[None]
    output = tiny.potential.evaluate(flat, tiny.batch(molecules()))
    expected = torch.full_like(output.force_std, 3 * FORCE_STD_START)
    torch.testing.assert_close(output.force_std, expected, rtol=1e-12, atol=0.0)


def test_layout_is_a_bijection() -> None:
    named = {"a": torch.randn(5, 2, 3), "b": torch.randn(5), "c": torch.randn(5, 4)}
    layout = ParameterLayout(("a", "b", "c"), ((2, 3), (), (4,)))
    flat = layout.flatten(named)
    assert flat.shape == (5, layout.size) == (5, 11)
    assert torch.equal(flat[:, 6], named["b"])
    for name, value in layout.unflatten(flat).items():
        assert torch.equal(value, named[name])
