"""Labels of several compositions in one posterior: shifts, stds and widths of each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_up_posterior import SHIFT, label_of
from tiny_mace import Tiny, molecules

from bnnflow.potentials.ensemble import graph_batch
from bnnflow.records import Label, PotentialSpec, RtoSpec, SampleRequest
from bnnflow.training.posterior import LabelledSet
from bnnflow.training.prior_shape import mean_square_slopes, prior_shape
from bnnflow.training.sample import posterior_of
from bnnflow.training.whitened import WhitenedPosterior

SCHEDULE = RtoSpec("still", trajectories=1, leapfrog_steps=1, max_jacobians=2, max_steps=3)


@pytest.fixture(scope="module")
def labels(tiny_double: Tiny) -> list[Label]:
    batch = tiny_double.batch(molecules())
    return [
        label_of(structure, batch.atomic_energy[row].item(), row)
        for row, structure in enumerate(molecules())
    ]


def request(tiny: Tiny, **changes) -> SampleRequest:
    base = SampleRequest(
        potential=PotentialSpec(str(tiny.path), dtype="float64"),
        previous=None,
        chains=(0,),
        n_members=2,
        version=1,
        labels=(),
        energy_shift=SHIFT,
        energy_std=0.02,
        prior_std=0.1,
        schedule=SCHEDULE,
        seed=1,
        directory="",
        head_prior_std=0.2,
    )
    return replace(base, **changes)


def test_each_label_has_its_own_shift(tiny_double: Tiny, labels: list[Label]) -> None:
    shifts = (1.0, -2.0, 0.25)
    together = LabelledSet.of(tiny_double.potential, labels, energy_shift=shifts)
    alone = [
        LabelledSet.of(tiny_double.potential, [label], energy_shift=shift).energy[0]
        for label, shift in zip(labels, shifts, strict=True)
    ]
    torch.testing.assert_close(together.energy, torch.stack(alone))
    with pytest.raises(ValueError, match="shorter"):
        LabelledSet.of(tiny_double.potential, labels, energy_shift=shifts[:2])


def test_each_label_has_its_own_energy_std(tiny_double: Tiny, labels: list[Label]) -> None:
    """Residuals and density are those of three posteriors of one label each, put together."""
    stds = (0.01, 0.02, 0.05)
    whole = WhitenedPosterior(
        posterior_of(request(tiny_double, energy_std=stds), tiny_double.potential, labels)
    )
    phi = torch.zeros(1, len(whole.posterior.prior.mean), dtype=torch.float64)
    rows = whole.residuals(whole.force_std(phi)).residual(phi).unflatten(-1, (3, -1))
    index = torch.arange(3).unsqueeze(0)
    theta, base = whole.theta(phi), replace(whole.posterior, energy_std=1.0)
    unit = WhitenedPosterior(base).residuals(whole.force_std(phi)).residual(phi)
    expected = unit.unflatten(-1, (3, -1))[0, :, 0] / torch.tensor(stds, dtype=torch.float64)
    torch.testing.assert_close(rows[0, :, 0], expected)
    nll = whole.posterior.frame_nll(theta, index)
    for row, std in enumerate(stds):
        one = replace(whole.posterior, energy_std=std)
        torch.testing.assert_close(nll[0, row], one.frame_nll(theta, index)[0, row])


def test_equal_numbers_for_each_are_one_for_all(tiny_double: Tiny, labels: list[Label]) -> None:
    one, each = (
        WhitenedPosterior(posterior_of(asked, tiny_double.potential, labels))
        for asked in (
            request(tiny_double),
            request(tiny_double, energy_shift=(SHIFT,) * 3, energy_std=(0.02,) * 3),
        )
    )
    phi = torch.zeros(2, len(one.posterior.prior.mean), dtype=torch.float64)
    for mine, other in zip(one.density(phi), each.density(phi), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_a_rare_element_is_as_wide_as_where_it_is(tiny_double: Tiny) -> None:
    """Sensitivity of carbon's own weights: that in the molecules with carbon, not in all."""
    water, methanol, monoxide = molecules()
    potential = tiny_double.potential
    structures = [water, methanol, monoxide]
    shape = prior_shape(potential, structures, power=0.4)
    slopes = torch.stack([mean_square_slopes(potential, each, seed=0) for each in structures])
    carbon = potential.active((6,)) & ~potential.active((1, 8)) & ~potential.heads()
    assert carbon.any()
    squares = torch.where(carbon, slopes[1:].mean(0), slopes.mean(0))
    of_no_element = potential.active(()) & ~potential.heads()
    for weights in (carbon, of_no_element):
        loud = weights & (squares > 0.1**2 * squares.max())
        assert loud.any()
        constant = (shape * squares**0.2)[loud]
        torch.testing.assert_close(constant, constant.max().expand_as(constant))


def test_one_composition_has_the_shape_it_had(tiny_double: Tiny) -> None:
    water = molecules()[0]
    potential, batch = tiny_double.potential, graph_batch(tiny_double.potential, [water])
    assert len(batch.positions) == 1
    squares = mean_square_slopes(potential, water, seed=0)
    shape = prior_shape(potential, [water], power=0.4)
    weights = potential.active((1, 8)) & ~potential.heads()
    loud = weights & (squares > 0.1**2 * squares[weights].mean())
    constant = shape[loud] * squares[loud] ** 0.2
    torch.testing.assert_close(constant, constant[:1].expand_as(constant))
