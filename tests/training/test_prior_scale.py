"""Suggested widths of the prior: the spreads that they promise, measured with other draws."""

from __future__ import annotations

import math

import torch
from ase.build import bulk
from tiny_mace import Tiny, molecules

from bnnflow.records import Structure
from bnnflow.training.prior_scale import LOG_STD_SPREAD, suggest_prior_std


def draws(tiny: Tiny, structures: list[Structure], std: float, *, head: bool) -> torch.Tensor:
    """Root mean square spread under 200 new draws of forces, or of log(force std)."""
    potential, batch = tiny.potential, tiny.batch(structures)
    mean, heads = potential.prior_mean(), potential.heads()
    noise = torch.randn(200, len(mean), generator=torch.Generator().manual_seed(5)).to(mean)
    theta = mean + std * noise * (heads if head else ~heads)
    moved, centre = (potential.evaluate(x, batch) for x in (theta, mean.unsqueeze(0)))
    if head:
        away = (moved.force_std / centre.force_std).log() * batch.mask
        return (away.square().sum() / batch.mask.sum() / 200).sqrt()
    away = (moved.forces - centre.forces) * batch.mask.unsqueeze(-1)
    return (away.square().sum() / batch.mask.sum() / 600).sqrt().detach()


def test_draws_spread_as_asked(tiny_double: Tiny) -> None:
    structures = [molecules()[0]]
    found = suggest_prior_std(tiny_double.potential, structures, force_spread=0.1)
    assert math.isclose(found.force_spread, 0.1, rel_tol=0.1)
    # Eight draws decided, whose root mean square scatters by a factor of two.
    assert 0.04 < draws(tiny_double, structures, found.std, head=False) < 0.25
    spread = draws(tiny_double, structures, found.head_std, head=True)
    assert 0.4 * LOG_STD_SPREAD < spread < 2.5 * LOG_STD_SPREAD


def test_wider_spread_wider_prior_up_to_half_of_the_weights(tiny_double: Tiny) -> None:
    structures = [molecules()[0]]
    widths = [
        suggest_prior_std(tiny_double.potential, structures, force_spread=spread)
        for spread in (0.01, 0.1, 1e6)
    ]
    assert widths[0].std < widths[1].std < widths[2].std
    assert math.isclose(widths[2].std, 0.5 * widths[2].weight_scale, rel_tol=0.05)


def test_power_changes_the_width_but_not_the_spread(tiny_double: Tiny) -> None:
    structures, potential = [molecules()[0]], tiny_double.potential
    flat, shaped = (
        suggest_prior_std(potential, structures, force_spread=0.1, power=power)
        for power in (0.0, 0.4)
    )
    assert not math.isclose(flat.std, shaped.std, rel_tol=0.05)
    assert math.isclose(shaped.force_spread, flat.force_spread, rel_tol=0.1)


def test_same_model_frames_and_seed_same_width(tiny_double: Tiny) -> None:
    structures = [molecules()[0]]
    one, other = (
        suggest_prior_std(tiny_double.potential, structures, force_spread=0.1, seed=3)
        for _ in range(2)
    )
    assert one == other


def test_a_crystal_on_its_sites_is_displaced_before_its_forces_are_looked_at(
    tiny_double: Tiny,
) -> None:
    """By symmetry no weights make a force there, and any width would seem narrow enough."""
    diamond = Structure.from_atoms(bulk("C", "diamond", a=3.57))
    batch = tiny_double.batch([diamond])
    assert tiny_double.potential.evaluate(tiny_double.members(3), batch).forces.abs().max() < 1e-9
    found = suggest_prior_std(tiny_double.potential, [diamond], force_spread=0.1)
    assert math.isclose(found.force_spread, 0.1, rel_tol=0.1)
    assert found.std < 0.5 * found.weight_scale
