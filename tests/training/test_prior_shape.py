"""Widths of the prior from weight to weight, against derivatives taken row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_mace import Tiny, molecules

from bnnflow.potentials.ensemble import graph_batch
from bnnflow.training import prior_shape as module
from bnnflow.training.prior_shape import mean_square_slopes, prior_shape
from bnnflow.units import from_kcal_per_mol


def frames(structure, seed: int):
    """The frames that the estimate is made on."""
    stream = torch.Generator().manual_seed(seed)
    for _ in range(module.FRAMES):
        moves = torch.randn(structure.positions.shape, generator=stream, dtype=torch.float64)
        yield replace(structure, positions=structure.positions + module.RATTLE * moves.numpy())


def exact(tiny: Tiny, structure, seed: int) -> torch.Tensor:
    """(P,) mean square over energies (1 kcal/mol) and forces (5 kcal/mol/Å) of the same frames,
    with a derivative for each of them."""
    potential = tiny.potential
    batch = graph_batch(potential, list(frames(structure, seed)))
    leaf = potential.prior_mean().unsqueeze(0).requires_grad_(True)
    output = potential.evaluate(leaf, batch, stress=False, create_graph=True)
    energies = output.energy.flatten() / from_kcal_per_mol(1.0)
    rows = torch.cat([energies, output.forces.flatten() / from_kcal_per_mol(5.0)])
    slopes = [torch.autograd.grad(row, leaf, retain_graph=True)[0][0] for row in rows]
    return torch.stack(slopes).double().square().mean(0)


def test_slopes_agree_with_row_by_row_derivatives(
    tiny_double: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many probes: p random signs scatter the square of one frame by at most sqrt(2 / p), of
    eight frames of like weight by sqrt(2 / (8 p))."""
    monkeypatch.setattr(module, "PROBES", 300)
    water = molecules()[0]
    found = mean_square_slopes(tiny_double.potential, water, seed=3)
    expected = exact(tiny_double, water, seed=3)
    felt = expected > 1e-12 * expected.max()
    ratio = found[felt] / expected[felt]
    assert (ratio - 1.0).abs().max() < 6.0 * (2.0 / (8 * 300)) ** 0.5
    assert abs(float(ratio.mean()) - 1.0) < 0.02
    assert found[~felt].max() < 1e-9 * found.max()


def test_linear_spread_is_that_of_one_width_for_all(tiny_double: Tiny) -> None:
    water = molecules()[0]
    squares = mean_square_slopes(tiny_double.potential, water, seed=0)
    shape = prior_shape(tiny_double.potential, [water], power=0.5)
    weights = tiny_double.potential.active((1, 8)) & ~tiny_double.potential.heads()
    spread = (shape.square() * squares)[weights].sum() / squares[weights].sum()
    assert float(spread) == pytest.approx(1.0, rel=1e-9)


def test_width_falls_with_sensitivity_by_the_power(tiny_double: Tiny) -> None:
    """Between any two weights above the floor the ratio of widths is that of the sensitivities."""
    water = molecules()[0]
    squares = mean_square_slopes(tiny_double.potential, water, seed=0)
    weights = tiny_double.potential.active((1, 8)) & ~tiny_double.potential.heads()
    shape = prior_shape(tiny_double.potential, [water], power=0.4)
    least = (module.LEAST_SENSITIVE**2 * squares[weights].mean()).item()
    felt = weights & (squares > least)
    product = shape[felt] * squares[felt] ** 0.2
    torch.testing.assert_close(product, product[:1].expand(len(product)), rtol=1e-9, atol=0.0)
    assert float(shape[weights].max()) <= float(product[0]) * least**-0.2 * (1.0 + 1e-9)


def test_heads_absent_elements_and_power_zero_are_left_alone(tiny_double: Tiny) -> None:
    water, potential = molecules()[0], tiny_double.potential
    shape = prior_shape(potential, [water], power=0.4)
    others = potential.heads() | ~potential.active((1, 8))
    assert others.any() and torch.equal(shape[others], torch.ones(int(others.sum())).double())
    assert (shape[~others] != 1.0).all()
    flat = prior_shape(potential, [water], power=0.0)
    assert torch.equal(flat, torch.ones(len(flat), dtype=torch.float64))


def test_same_model_structure_and_seed_same_shape(tiny_double: Tiny) -> None:
    water = molecules()[0]
    one, again = (prior_shape(tiny_double.potential, [water], power=0.4) for _ in range(2))
    assert torch.equal(one, again)
    other = prior_shape(tiny_double.potential, [water], power=0.4, seed=1)
    assert not torch.equal(one, other) and float((one / other).log().abs().median()) < 0.3
