"""The whitened posterior against the posterior it whitens, and against finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_up_posterior import CHAINS, negative_log_posterior
from tiny_mace import Tiny

from bnnflow.records import Label
from bnnflow.training.posterior import Posterior
from bnnflow.training.whitened import WhitenedPosterior


@pytest.fixture
def whole(posterior: Posterior) -> WhitenedPosterior:
    return WhitenedPosterior(posterior)


@pytest.fixture
def phi(whole: WhitenedPosterior, theta: torch.Tensor) -> torch.Tensor:
    return whole.phi(theta)


def along(like: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed), dtype=like.dtype)


def test_parameters_go_round(whole: WhitenedPosterior, theta: torch.Tensor) -> None:
    torch.testing.assert_close(whole.theta(whole.phi(theta)), theta)


def test_density_is_the_posterior_and_its_gradient(
    tiny_double: Tiny,
    posterior: Posterior,
    labels: list[Label],
    whole: WhitenedPosterior,
    phi: torch.Tensor,
) -> None:
    """Up to one constant: differences between points, and slopes along a line."""
    other = phi + 0.01 * along(phi)
    written = [
        negative_log_posterior(tiny_double, posterior, labels, whole.theta(point))
        for point in (phi, other)
    ]
    found = (whole.density(other)[0] - whole.density(phi)[0]).numpy()
    np.testing.assert_allclose(found, written[1] - written[0], rtol=1e-8)
    h, direction = 1e-5, along(phi, 1)
    high, low = (whole.density(phi + sign * h * direction)[0] for sign in (1, -1))
    slope = (whole.density(phi)[1] * direction).sum(-1)
    torch.testing.assert_close(slope, (high - low) / (2 * h), rtol=1e-6, atol=1e-6)


def test_squared_residuals_are_the_part_of_the_density_that_is_not_prior_or_noise(
    whole: WhitenedPosterior, phi: torch.Tensor
) -> None:
    """Along a direction in which the noise does not change."""
    std = whole.force_std(phi)
    problem = whole.residuals(std)
    residual = problem.residual(phi)
    energy = whole.density(phi)[0] - 0.5 * phi.square().sum(-1) - 0.5 * residual.square().sum(-1)
    mask = whole.posterior.data.graphs.mask
    constant = (3.0 * std.log() * mask).sum((1, 2)) + whole.n_frames * np.log(
        whole.posterior.energy_std
    )
    stress = energy - constant  # 6 log(stress std) for each frame that has a stress
    torch.testing.assert_close(stress[0], stress[1], rtol=1e-9, atol=1e-6)


def test_jacobian_is_the_slope_of_the_residuals(
    whole: WhitenedPosterior, phi: torch.Tensor
) -> None:
    problem = whole.residuals(whole.force_std(phi))
    jacobian, direction, h = problem.jacobian(phi), along(phi), 1e-5
    high, low = (problem.residual(phi + sign * h * direction) for sign in (1, -1))
    found = (jacobian @ direction.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(found, (high - low) / (2 * h), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("at_once", "side_by_side"), [(1, 8), (3, 1), (64, 8), (64, 64)])
def test_jacobian_is_the_same_however_many_rows_are_made_side_by_side(
    whole: WhitenedPosterior, phi: torch.Tensor, monkeypatch, at_once: int, side_by_side: int
) -> None:
    problem = whole.residuals(whole.force_std(phi))
    expected = problem.jacobian(phi)
    monkeypatch.setattr(type(whole), "_at_once", at_once)
    monkeypatch.setattr("bnnflow.training.whitened.SIDE_BY_SIDE", side_by_side)
    torch.testing.assert_close(problem.jacobian(phi), expected)


def test_misfit_is_jacobian_times_distance(whole: WhitenedPosterior, phi: torch.Tensor) -> None:
    problem = whole.residuals(whole.force_std(phi))
    residual, jacobian = problem.residual(phi), problem.jacobian(phi)
    target = residual + along(residual)
    found, slope = problem.misfit(phi, target)
    torch.testing.assert_close(found, residual)
    expected = (jacobian.mT @ (residual - target).unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(slope, expected, rtol=1e-7, atol=1e-7)


def test_padding_and_missing_stress_give_no_rows(
    whole: WhitenedPosterior, phi: torch.Tensor
) -> None:
    problem = whole.residuals(whole.force_std(phi))
    data = whole.posterior.data
    used = problem.jacobian(phi).abs().sum(-1) > 0.0
    per_frame = used.unflatten(-1, (whole.n_frames, -1)).sum(-1)
    expected = 1 + 3 * data.graphs.mask.sum(-1) + 6 * data.has_stress
    assert per_frame.tolist() == [expected.tolist()] * CHAINS


def test_change_is_that_of_the_known_labels_only(
    whole: WhitenedPosterior, phi: torch.Tensor
) -> None:
    other = phi + 0.1 * along(phi)
    problem = whole.residuals(whole.force_std(phi))
    moved = problem.residual(other) - problem.residual(phi)
    known = moved[:, : 2 * whole.rows_per_frame]
    torch.testing.assert_close(whole.change(phi, other, 2), known.square().mean(-1).sqrt())
    assert whole.change(phi, other, 0).isnan().all()


def test_force_scale_is_added_to_every_log_std(whole: WhitenedPosterior, phi: torch.Tensor) -> None:
    moved = phi + 0.3 / whole.posterior.prior.std * whole.force_scale
    change = whole.force_std(moved).log() - whole.force_std(phi).log()
    mask = whole.posterior.data.graphs.mask.bool().expand(change.shape)
    assert int(whole.force_scale.sum()) == 1
    torch.testing.assert_close(change[mask], torch.full_like(change[mask], 0.3))


def test_noise_rows_are_the_slope_of_the_mean_log_std(
    whole: WhitenedPosterior, phi: torch.Tensor
) -> None:
    mask = whole.posterior.data.graphs.mask
    n_atoms = mask.sum(-1)

    def mean_log_std(point: torch.Tensor) -> torch.Tensor:
        return (whole.force_std(point).log() * mask).sum(-1) / n_atoms

    direction, h = along(phi), 1e-5
    slope = (mean_log_std(phi + h * direction) - mean_log_std(phi - h * direction)) / (2 * h)
    found = (whole.noise_rows(phi) @ direction.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(found, slope * (6.0 * n_atoms).sqrt(), rtol=1e-5, atol=1e-6)


def test_force_rows_are_those_of_real_atoms(whole: WhitenedPosterior) -> None:
    per_frame = whole.force_rows.unflatten(0, (whole.n_frames, -1))
    n_atoms = whole.posterior.data.graphs.mask.sum(-1)
    assert not per_frame[:, 0].any()
    assert per_frame.sum(-1).tolist() == (3 * n_atoms).tolist()
