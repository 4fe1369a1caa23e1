"""Conditioning on new data: exact where predictions are linear, a minimum elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from known_posteriors import KnownPosterior, curved, linear

from bnnflow.bayes import Conditioned, condition
from bnnflow.errors import NonFiniteError


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def first(problem: KnownPosterior, frames: int) -> KnownPosterior:
    """The problem when only some frames are labelled."""
    predict = problem.predict
    return replace(problem, predict=lambda t: predict(t)[:frames], labels=problem.labels[:frames])


def conditioned(problem: KnownPosterior, start: torch.Tensor, known: int) -> Conditioned:
    """Samples that know the first `known` rows, given all of them."""
    target = problem.residual(start)
    target[:, known:] = normal(*target[:, known:].shape, seed=10 + known)
    return condition(problem, start, target, max_jacobians=4, max_steps=20)


def test_one_label_after_another_gives_the_exact_posterior() -> None:
    """On the fly: prior, then 20 updates by one label; every probe's mean and variance."""
    problem, chains = linear(), 1500
    phi = normal(chains, 60)
    for frames in range(1, problem.n_frames + 1):
        phi = conditioned(first(problem, frames), phi, frames - 1).position
    probes = problem.probes(phi)
    offset = (probes.mean(0) - problem.mean) / problem.variance.sqrt()
    ratio = probes.var(0) / problem.variance
    # Four standard errors: 1 / sqrt(chains) of a mean, sqrt(2 / chains) of a variance.
    assert offset.abs().max() < 4.0 / chains**0.5
    assert (ratio - 1.0).abs().max() < 4.0 * (2.0 / chains) ** 0.5


def test_linear_problem_takes_one_jacobian_and_lands_on_the_minimum() -> None:
    problem, start = linear(), normal(3, 60)
    target = normal(3, 20, seed=2)
    found = condition(problem, start, target, max_jacobians=4, max_steps=20)
    assert found.jacobians == 1
    slope = found.position - start + problem.misfit(found.position, target)[1]
    scale = problem.misfit(start, target)[1].abs().max()
    assert slope.abs().max() < 1e-9 * scale


def test_nothing_new_moves_nothing() -> None:
    problem, start = curved(), normal(4, 20)
    found = condition(problem, start, problem.residual(start), max_jacobians=4, max_steps=20)
    assert torch.equal(found.position, start)


def test_curved_problem_ends_at_a_minimum() -> None:
    problem, start = curved(), 0.5 * normal(8, 20)
    target = normal(8, 20, seed=3)
    found = condition(problem, start, target, max_jacobians=20, max_steps=200)

    def objective(phi: torch.Tensor) -> torch.Tensor:
        rows = problem.residual(phi) - target
        return 0.5 * (rows.square().sum(-1) + (phi - start).square().sum(-1))

    best = objective(found.position)
    assert torch.all(best < objective(start))
    for seed in range(5):
        near = found.position + 0.02 * normal(8, 20, seed=20 + seed)
        assert torch.all(objective(near) > best - 0.05)


@dataclass(frozen=True, eq=False)
class Valley:
    """One residual along a winding valley (Rosenbrock's), one across it, noise 0.01."""

    def residual(self, phi: torch.Tensor) -> torch.Tensor:
        along, across = phi.unbind(-1)
        rows = [1.0 - along, 10.0 * (across - along.square())]
        return 100.0 * torch.stack(rows, dim=-1)

    def jacobian(self, phi: torch.Tensor) -> torch.Tensor:
        along = phi[:, 0]
        first = torch.stack([-torch.ones_like(along), torch.zeros_like(along)], dim=-1)
        second = 10.0 * torch.stack([-2.0 * along, torch.ones_like(along)], dim=-1)
        return 100.0 * torch.stack([first, second], dim=1)

    def misfit(self, phi: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.residual(phi)
        return rows, torch.einsum("km,kmp->kp", rows - target, self.jacobian(phi))


def test_a_distant_start_gets_the_jacobians_that_it_needs() -> None:
    """Left where its Jacobians ran out, a chain would be rejected by HMC for ever."""
    start = torch.tensor([[-3.0, -4.0]], dtype=torch.float64)
    found = condition(Valley(), start, torch.zeros_like(start), max_jacobians=2, max_steps=40)
    assert found.jacobians > 2
    assert Valley().residual(found.position).abs().max() < 5.0


def test_chains_one_by_one_end_where_they_end_together() -> None:
    problem, start = linear(), normal(3, 60)
    together = conditioned(problem, start, 0).position
    target = normal(3, 20, seed=10)
    apart = [
        condition(problem, start[i : i + 1], target[i : i + 1], max_jacobians=4, max_steps=20)
        for i in range(3)
    ]
    torch.testing.assert_close(together, torch.cat([each.position for each in apart]))


@dataclass(frozen=True, eq=False)
class Broken:
    """Residuals that are not numbers."""

    def residual(self, phi: torch.Tensor) -> torch.Tensor:
        return phi * torch.nan

    def jacobian(self, phi: torch.Tensor) -> torch.Tensor:
        return torch.eye(phi.shape[1], dtype=torch.float64).expand(len(phi), -1, -1)

    def misfit(self, phi: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return phi * torch.nan, phi


def test_a_start_without_finite_residuals_is_refused() -> None:
    start = normal(1, 3)
    with pytest.raises(NonFiniteError, match="prior_std"):
        condition(Broken(), start, start, max_jacobians=1, max_steps=1)
