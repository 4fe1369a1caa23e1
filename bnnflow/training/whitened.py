"""A potential's posterior in whitened parameters and residuals, as `bayes.rto` and `bayes.hmc` ask.

phi = (theta - theta0) / s, with s the std of each parameter, is standard normal under the prior,
and the residuals r = (prediction - label) / std of energies, force components and stresses are
standard normal under the likelihood (METHOD 1, 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bnnflow.potentials import Output
from bnnflow.training.jacobian_memory import rows_per_frame
from bnnflow.training.posterior import Posterior
from bnnflow.training.silent import silent_directions
from bnnflow.units import STRESS_STD

SIDE_BY_SIDE = 8
"""Evaluations that fill a processor; fewer cost more each."""


@dataclass(frozen=True, eq=False)
class WhitenedPosterior:
    """The posterior over all labels: parameters phi (k, n_active), float64."""

    posterior: Posterior

    @property
    def n_frames(self) -> int:
        """N."""
        return len(self.posterior.data)

    @property
    def rows_per_frame(self) -> int:
        """Residuals of one frame, padding included (padding is zero throughout)."""
        data = self.posterior.data
        return rows_per_frame(data.graphs.mask.shape[1], stress=bool(data.has_stress.any()))

    @property
    def force_rows(self) -> Tensor:
        """(M,) True for the residuals of forces that count, which share the scale of sigma."""
        mask = self.posterior.data.force_mask
        kept = torch.zeros(self.n_frames, self.rows_per_frame, dtype=torch.bool, device=mask.device)
        kept[:, 1 : 1 + 3 * mask.shape[1]] = mask.bool().repeat_interleave(3, dim=1)
        return kept.flatten()

    def silent_forces(self, gram: Tensor) -> int:
        """Directions of all frames in which neither labels nor predictions have a force.

        gram: (M, M), J Jᵀ of a chain's residuals (`silent`).
        """
        return silent_directions(gram, self.force_rows, self.n_frames)

    @property
    def force_scale(self) -> Tensor:
        """(n_active,) True for the parameter that is added to log sigma of every atom."""
        posterior = self.posterior
        return posterior.potential.force_scale().to(posterior.active)[posterior.active]

    def theta(self, phi: Tensor) -> Tensor:
        """(k, n_active) parameters in the network's precision."""
        prior = self.posterior.prior
        return prior.mean + (prior.std * phi).to(prior.mean)

    def phi(self, theta: Tensor) -> Tensor:
        """(k, n_active) whitened parameters, float64."""
        prior = self.posterior.prior
        return (theta.double() - prior.mean.double()) / prior.std

    def density(self, phi: Tensor) -> tuple[Tensor, Tensor]:
        """U = -log posterior (k,) up to a constant, and its gradient (k, n_active); float64."""
        leaf = self.theta(phi).requires_grad_(True)
        energy, slope = 0.5 * phi.square().sum(-1), phi.clone()
        for index in self._chunks(len(phi)):
            nll = self.posterior.frame_nll(leaf, index)
            (part,) = torch.autograd.grad(nll.sum(), leaf)
            energy = energy + nll.detach().double().sum(-1)
            slope = slope + self.posterior.prior.std * part.double()
        return energy, slope

    def force_std(self, phi: Tensor) -> Tensor:
        """(k, N, n_atoms) eV/Å, of the force-std head."""
        parts = [
            self.posterior.evaluate(self.theta(phi), index).force_std.detach()
            for index in self._chunks(len(phi))
        ]
        return torch.cat(parts, dim=1)

    def noise_rows(self, phi: Tensor) -> Tensor:
        """(k, N, n_active): rows whose squares are the Fisher information of every frame's mean
        log sigma, sqrt(6 n) of its derivative. Residuals with held stds do not know of it."""
        frames = torch.arange(self.n_frames, device=phi.device).split(self._at_once)
        parts = [
            torch.stack([self._noise(row, part) for row in self.theta(phi)]) for part in frames
        ]
        return torch.cat(parts, dim=1) * self.posterior.prior.std

    def _noise(self, theta: Tensor, frames: Tensor) -> Tensor:
        """(len(frames), n_active) of one chain: a copy of its parameters for every frame."""
        leaf = theta.expand(len(frames), -1).clone().requires_grad_(True)
        output = self.posterior.evaluate(leaf, frames.unsqueeze(-1))
        mask = self.posterior.data.force_mask[frames]
        n_atoms = mask.sum(-1).clamp(min=1)
        total = (output.force_std[:, 0].log() * mask).sum(-1)
        (slope,) = torch.autograd.grad((total * (6.0 / n_atoms).sqrt()).sum(), leaf)
        return slope

    def change(self, old: Tensor, new: Tensor, n_known: int) -> Tensor:
        """(k,) root mean square change of the predictions for the first `n_known` labels from phi
        `old` to `new`, in the stds of the old likelihood; NaN when there are none."""
        if not n_known:
            return torch.full((len(old),), torch.nan, dtype=torch.float64)
        problem = self.residuals(self.force_std(old))
        moved = problem.residual(new) - problem.residual(old)
        known = moved[:, : n_known * self.rows_per_frame]
        return known.square().mean(-1).sqrt()

    def residuals(self, force_std: Tensor) -> WhitenedResiduals:
        """The residuals with their stds held at some values (k, N, n_atoms)."""
        return WhitenedResiduals(self, force_std)

    def _chunks(self, members: int) -> list[Tensor]:
        """Frame indices (members, some) that cover the data set."""
        frames = torch.arange(self.n_frames, device=self.posterior.base.device)
        return [part.expand(members, -1) for part in frames.split(max(1, self._at_once // members))]

    @property
    def _at_once(self) -> int:
        return self.posterior.potential.at_once(self.posterior.data.graphs)


@dataclass(frozen=True, eq=False)
class WhitenedResiduals:
    """`bayes.LeastSquares` of the labels: one row per energy, force component and stress, frame by
    frame in the order of the data set. force_std: (k, N, n_atoms) eV/Å, held."""

    whole: WhitenedPosterior
    force_std: Tensor

    def residual(self, phi: Tensor) -> Tensor:
        """r (k, M), float64."""
        theta = self.whole.theta(phi)
        rows = [self._rows(theta, index).detach() for index in self.whole._chunks(len(phi))]
        return torch.cat(rows, dim=1).flatten(1).double()

    def misfit(self, phi: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """r (k, M), and the gradient (k, n_active) of |r - target|^2 / 2; float64."""
        leaf = self.whole.theta(phi).requires_grad_(True)
        goal = target.unflatten(-1, (self.whole.n_frames, -1))
        rows, slope = [], torch.zeros_like(phi)
        for index in self.whole._chunks(len(phi)):
            part = self._rows(leaf, index)
            away = part - goal[:, index[0]].to(part)
            (gradient,) = torch.autograd.grad(0.5 * away.square().sum(), leaf)
            slope += self.whole.posterior.prior.std * gradient.double()
            rows.append(part.detach())
        return torch.cat(rows, dim=1).flatten(1).double(), slope

    def jacobian(self, phi: Tensor) -> Tensor:
        """dr/dphi (k, M, n_active), in the network's precision."""
        theta = self.whole.theta(phi)
        return torch.stack([self._jacobian(row, chain) for chain, row in enumerate(theta)])

    def _jacobian(self, theta: Tensor, chain: int) -> Tensor:
        """(M, n_active) of one chain."""
        frames = torch.arange(self.whole.n_frames, device=theta.device)
        blocks = [
            self._block(theta, chain, part).flatten(0, 1)
            for part in frames.split(self.whole._at_once)
        ]
        whole = blocks[0] if len(blocks) == 1 else torch.cat(blocks)
        return whole.mul_(self.whole.posterior.prior.std)

    def _block(self, theta: Tensor, chain: int, frames: Tensor) -> Tensor:
        """(len(frames), rows, n_active). Frames are evaluated once and differentiated row by row,
        side by side; where they are few, by several rows at a time, each in a copy of its own."""
        rows, count = self.whole.rows_per_frame, len(frames)
        copies = max(1, min(SIDE_BY_SIDE, self.whole._at_once) // count)
        leaf = theta.expand(copies * count, -1).clone().requires_grad_(True)
        values = self._rows(leaf, frames.repeat(copies).unsqueeze(-1), chain)[:, 0]
        values = values.unflatten(0, (copies, count))
        result = theta.new_empty(count, rows, theta.shape[-1])
        for part in torch.arange(rows, device=theta.device).split(copies):
            total = values[: len(part), :, part].diagonal(dim1=0, dim2=2)  # row i of copy i
            (gradient,) = torch.autograd.grad(total.sum(), leaf, retain_graph=True)
            result[:, part] = gradient.unflatten(0, (copies, count))[: len(part)].transpose(0, 1)
        return result

    def _rows(self, theta: Tensor, index: Tensor, chain: int | None = None) -> Tensor:
        """(members, b, rows) residuals of frames (members, b); `chain`: whose stds, all if None."""
        posterior = self.whole.posterior
        output = posterior.evaluate(theta, index)
        std = self.force_std[:, index[0]] if chain is None else self.force_std[chain, index]
        return _whitened(output, posterior, index, std)


def _whitened(output: Output, posterior: Posterior, index: Tensor, force_std: Tensor) -> Tensor:
    data = posterior.data
    energy = (output.energy - data.energy[index]) / posterior.energy_std_of(index)
    forces = (output.forces - data.forces[index]) / force_std.unsqueeze(-1)
    forces = forces * data.force_mask[index].unsqueeze(-1)
    rows = [energy.unsqueeze(-1), forces.flatten(2)]
    if output.stress is not None:
        stress = (output.stress - data.stress[index]) / STRESS_STD
        rows.append(stress * data.has_stress[index].unsqueeze(-1))
    return torch.cat(rows, dim=-1)
