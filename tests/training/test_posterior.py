"""The gradient of the posterior against its definition, written out with numpy and SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_up_posterior import (
    CHAINS,
    PRIOR_STD,
    SHIFT,
    label_of,
    negative_log_posterior,
    posterior_of,
    whole,
)
from tiny_mace import Tiny, molecules, rattled

from bnnflow.bayes import Minibatch, MinibatchSampler
from bnnflow.bayes.minibatch import newest_first_probability
from bnnflow.errors import NonFiniteError
from bnnflow.records import Label
from bnnflow.training.posterior import LabelledSet, Posterior


def test_gradient_is_that_of_the_negative_log_posterior_over_n(
    tiny_double: Tiny, posterior: Posterior, labels: list[Label], theta: torch.Tensor
) -> None:
    """Ragged frames, stress on one of them, masked elements: along random directions."""
    slope, h = posterior.gradient(theta, whole(posterior)), 1e-6
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        along = torch.randn(theta.shape, generator=generator, dtype=theta.dtype)
        high, low = (
            negative_log_posterior(tiny_double, posterior, labels, theta + sign * h * along)
            for sign in (1, -1)
        )
        numeric = (high - low) / (2 * h * len(labels))
        np.testing.assert_allclose((slope * along).sum(1).numpy(), numeric, rtol=2e-6)


def test_stress_labels_enter_only_where_there_are_some(
    tiny_double: Tiny, labels: list[Label], theta: torch.Tensor
) -> None:
    with_stress = posterior_of(tiny_double, labels)
    without = posterior_of(tiny_double, [replace(label, stress=None) for label in labels])
    slopes = [one.gradient(theta, whole(one)) for one in (with_stress, without)]
    assert not torch.allclose(*slopes)
    open_frames = Minibatch(torch.tensor([[0, 1], [2, 2]]), torch.ones(CHAINS, 2))
    slopes = [one.gradient(theta, open_frames) for one in (with_stress, without)]
    torch.testing.assert_close(*slopes)


def test_expected_minibatch_gradient_is_the_full_gradient(
    posterior: Posterior, theta: torch.Tensor
) -> None:
    """Exact expectation over every draw: all b draws are alike, so one frame repeated b times."""
    n, batch = len(posterior.data), 3
    probability = newest_first_probability(n_data=n, batch=batch).double()
    assert probability[-1] > 1.2 * probability[0]
    expected = torch.zeros_like(theta)
    for frame in range(n):
        weight = torch.full((CHAINS, batch), 1.0 / (batch * probability[frame].item()))
        draw = Minibatch(torch.full((CHAINS, batch), frame), weight.double())
        expected += probability[frame] * posterior.gradient(theta, draw)
    torch.testing.assert_close(expected, posterior.gradient(theta, whole(posterior)))


def test_a_drawn_minibatch_is_the_weighted_sum_of_its_frames(
    posterior: Posterior, theta: torch.Tensor
) -> None:
    """The weights that the sampler hands out, chain by chain, with frames drawn twice."""
    n = len(posterior.data)
    generators = [torch.Generator().manual_seed(seed) for seed in range(CHAINS)]
    draw = MinibatchSampler(n_data=n, batch=3, generators=generators).draw()
    assert not torch.equal(draw.index[0], draw.index[1])
    pull = posterior.prior.gradient(theta) / n
    probability = newest_first_probability(n_data=n, batch=3)
    expected = pull.clone()
    for column in range(3):
        index = draw.index[:, column : column + 1]
        alone = posterior.gradient(theta, Minibatch(index, torch.ones(CHAINS, 1))) - pull
        expected += alone / (3 * probability[index])
    torch.testing.assert_close(posterior.gradient(theta, draw), expected)


def test_the_prior_pulls_a_chain_that_left_it(posterior: Posterior, theta: torch.Tensor) -> None:
    """DECISIONS 9: with weight zero on the data the gradient is (theta - theta0) / (std^2 N)."""
    nothing = Minibatch(torch.zeros(CHAINS, 1, dtype=torch.long), torch.zeros(CHAINS, 1))
    expected = (theta - posterior.base[posterior.active]) / (PRIOR_STD**2 * len(posterior.data))
    torch.testing.assert_close(posterior.gradient(theta, nothing), expected)


def test_masked_parameters_stay_where_they_were(posterior: Posterior, theta: torch.Tensor) -> None:
    full = posterior.full(theta)
    assert torch.equal(full[:, posterior.active], theta)
    assert torch.equal(full[0, ~posterior.active], posterior.base[~posterior.active])
    assert torch.equal(posterior.base, posterior.potential.prior_mean())


def test_energies_of_thousands_of_ev_lose_no_digits(tiny_single: Tiny) -> None:
    """A float32 target near -4e3 eV would be off by 2e-4 eV; the target is a difference instead."""
    structure = molecules()[1]
    atomic = tiny_single.batch([structure]).atomic_energy[0].item()
    small = 0.123456789
    offsets = np.array([0.0, 1e-5, 2e-5])
    made_up = [label_of(structure, atomic, 0) for _ in offsets]
    labels = [
        replace(label, energy=atomic - 4e3 + small + offset)
        for label, offset in zip(made_up, offsets, strict=True)
    ]
    data = LabelledSet.of(tiny_single.potential, labels, energy_shift=4e3)
    assert data.energy.dtype == torch.float32
    np.testing.assert_allclose(data.energy.numpy(), small + offsets, atol=2e-8)


def test_errors_are_rmses_over_real_atoms(
    tiny_double: Tiny, posterior: Posterior, labels: list[Label], theta: torch.Tensor
) -> None:
    energy, force = posterior.errors(theta)
    for chain, member in enumerate(posterior.full(theta)):
        off_energy, off_forces = [], []
        for label in labels:
            batch = tiny_double.batch([label.structure])
            output = tiny_double.potential.evaluate(member[None], batch)
            total = output.energy[0, 0].item() + batch.atomic_energy[0].item()
            off_energy.append(total - label.energy - SHIFT)
            off_forces.append((output.forces[0, 0].numpy() - label.forces).ravel())
        assert energy[chain].item() == pytest.approx(np.sqrt(np.mean(np.square(off_energy))))
        components = np.concatenate(off_forces)
        assert force[chain].item() == pytest.approx(np.sqrt(np.mean(components**2)))


def test_labels_do_not_depend_on_the_order_of_frames(
    tiny_double: Tiny, posterior: Posterior, labels: list[Label], theta: torch.Tensor
) -> None:
    backwards = posterior_of(tiny_double, labels[::-1])
    slopes = [one.gradient(theta, whole(one)) for one in (posterior, backwards)]
    torch.testing.assert_close(*slopes)


def test_an_infinite_energy_is_a_fault(posterior: Posterior, theta: torch.Tensor) -> None:
    with pytest.raises(NonFiniteError, match="smaller step size"):
        posterior.gradient(theta * 1e200, whole(posterior))


def test_padding_of_a_larger_set_does_not_change_a_frame(
    tiny_double: Tiny, labels: list[Label], theta: torch.Tensor
) -> None:
    """The gradient of one frame is the same in a set of its own as beside a larger one."""
    large = replace(rattled(molecules()[1].to_atoms(), 9), positions=3.0 * molecules()[1].positions)
    own = posterior_of(tiny_double, labels[:1])
    beside = posterior_of(tiny_double, [labels[0], label_of(large, 0.0, 7)])
    first = Minibatch(torch.zeros(CHAINS, 1, dtype=torch.long), torch.ones(CHAINS, 1))
    torch.testing.assert_close(own.gradient(theta, first), 2 * beside.gradient(theta, first))
