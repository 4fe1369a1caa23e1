"""The posterior of a potential given labels: joins a potential, a likelihood and a prior.

Chains hold only the parameters that act on the elements present (DECISIONS 6); the others stay at
their pre-trained values, so predictions for these elements are the same and the model stays
general.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bnnflow.bayes import GaussianPrior, Minibatch, energy_nll, force_nll, stress_nll
from bnnflow.errors import NonFiniteError
from bnnflow.potentials import Output, Potential
from bnnflow.potentials.ensemble import graph_batch
from bnnflow.potentials.graphs import GraphBatch
from bnnflow.records import Label
from bnnflow.units import STRESS_STD, shifted_energy

FRAMES_AT_ONCE = 32
"""Frames evaluated together where no gradient is kept; bounds the memory of large data sets."""


@dataclass(frozen=True, eq=False)
class LabelledSet:
    """N labelled frames as tensors.

    energy: (N,) eV, reference on the model's scale less the isolated atoms; forces: (N, n, 3)
    eV/Å; stress: (N, 6) eV/Å³; has_stress: (N,) 1 where the label has one; force_mask: (N, n) 1
    for the atoms whose forces count.
    """

    graphs: GraphBatch
    energy: Tensor
    forces: Tensor
    stress: Tensor
    has_stress: Tensor
    force_mask: Tensor

    def __len__(self) -> int:
        return len(self.energy)

    def to(self, device: torch.device) -> LabelledSet:
        """The same frames on a device."""
        return LabelledSet(**{name: value.to(device) for name, value in vars(self).items()})

    @classmethod
    def of(
        cls,
        potential: Potential,
        labels: Sequence[Label],
        *,
        energy_shift: float | Sequence[float],
        float32_energies: bool = False,
    ) -> LabelledSet:
        """Build from labels.

        energy_shift: eV, added to every reference energy, or one per label; in float64 if not told
        otherwise.
        """
        graphs = graph_batch(potential, [label.structure for label in labels])
        of_each = (
            energy_shift if isinstance(energy_shift, Sequence) else [energy_shift] * len(labels)
        )
        shifted = [
            shifted_energy(label.energy, shift, float32=float32_energies)
            for label, shift in zip(labels, of_each, strict=True)
        ]
        energy = torch.tensor(shifted, dtype=torch.float64)
        forces = np.zeros(tuple(graphs.positions.shape))
        stress = np.zeros((len(labels), 6))
        for row, label in enumerate(labels):
            forces[row, : len(label.structure)] = label.forces
            stress[row] = label.stress if label.stress is not None else 0.0
        return cls(
            graphs=graphs,
            energy=(energy - graphs.atomic_energy).to(potential.dtype),
            forces=torch.as_tensor(forces, dtype=potential.dtype),
            stress=torch.as_tensor(stress, dtype=potential.dtype),
            has_stress=torch.tensor(
                [float(label.stress is not None) for label in labels], dtype=potential.dtype
            ),
            force_mask=graphs.mask,
        )


@dataclass(frozen=True, eq=False)
class Posterior:
    """Gradient of the negative log posterior of k chains, divided by N (METHOD 3).

    data: the labelled frames; base: (P,) values of the parameters that are not sampled;
    active: (P,) bool; prior: over the active ones; energy_std: eV, of all labels or
    (N,); off_diagonal_count: times that an off-diagonal stress component enters the likelihood.
    """

    potential: Potential
    data: LabelledSet
    base: Tensor
    active: Tensor
    prior: GaussianPrior
    energy_std: float | Tensor
    off_diagonal_count: int = 1

    def gradient(self, theta: Tensor, minibatch: Minibatch) -> Tensor:
        """(k, n_active) gradient at theta, from one weighted minibatch per chain."""
        index, weight = minibatch.index.to(theta.device), minibatch.weight.to(theta)
        frames = min(index.shape[1], self._at_once)
        slope = torch.zeros_like(theta)
        for rows in _slices(len(theta), max(1, self._at_once // frames)):
            for part in _slices(index.shape[1], frames):
                slope[rows] += self._slope(theta[rows], index[rows, part], weight[rows, part])
        return (slope + self.prior.gradient(theta)) / len(self.data)

    def _slope(self, theta: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        """(k, n_active) gradient of the weighted negative log-likelihood of frames (k, b)."""
        leaf = theta.detach().clone().requires_grad_(True)
        nll = self.frame_nll(leaf, index)
        _require_finite(nll)
        (slope,) = torch.autograd.grad((nll * weight).sum(), leaf)
        return slope

    @property
    def _at_once(self) -> int:
        return self.potential.at_once(self.data.graphs)

    def errors(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """RMSE over the data set of every chain: energy (k,) eV, force components (k,) eV/Å."""
        energy, force = torch.zeros(2, len(theta), device=theta.device)
        frames = torch.arange(len(self.data), device=theta.device)
        for index in frames.split(min(FRAMES_AT_ONCE, max(1, 4 * self._at_once // len(theta)))):
            output = self.evaluate(theta, index.expand(len(theta), -1))
            _require_finite(output.energy)
            mask = self.data.graphs.mask[index].unsqueeze(-1)
            wrong = (output.forces.detach() - self.data.forces[index]) * mask
            energy += (output.energy.detach() - self.data.energy[index]).square().sum(-1)
            force += wrong.square().sum((1, 2, 3))
        components = 3.0 * self.data.graphs.mask.sum()
        return (energy / len(self.data)).sqrt(), (force / components).sqrt()

    def full(self, theta: Tensor) -> Tensor:
        """(k, P) parameters of chains (k, n_active)."""
        everything = self.base.expand(len(theta), -1).clone()
        everything[:, self.active] = theta
        return everything

    def frame_nll(self, theta: Tensor, index: Tensor) -> Tensor:
        """(k, b) negative log-likelihood of frames (k, b), differentiable in theta."""
        return self._nll(self.evaluate(theta, index), index)

    def evaluate(self, theta: Tensor, index: Tensor) -> Output:
        """Predictions for frames (k, b) of the data set by chains (k, n_active).

        They are differentiable in theta where it asks for gradients.
        """
        return self.potential.evaluate(
            self.full(theta),
            self.data.graphs.take(index),
            stress=bool(self.data.has_stress.any()),
            create_graph=theta.requires_grad,
        )

    def energy_std_of(self, index: Tensor) -> float | Tensor:
        """Likelihood std, eV, of the energies of frames (k, b): of all, or (k, b)."""
        std = self.energy_std
        return std[index] if isinstance(std, Tensor) else std

    def _nll(self, output: Output, index: Tensor) -> Tensor:
        """(k, b) negative log-likelihood of each frame drawn."""
        data = self.data
        std = self.energy_std_of(index)
        nll = energy_nll(energy=output.energy, target=data.energy[index], std=std)
        nll = nll + force_nll(
            forces=output.forces,
            target=data.forces[index],
            std=output.force_std,
            mask=data.force_mask[index],
        )
        if output.stress is None:
            return nll
        stress = stress_nll(
            stress=output.stress,
            target=data.stress[index],
            std=STRESS_STD,
            off_diagonal_count=self.off_diagonal_count,
        )
        return nll + stress * data.has_stress[index]


def _slices(length: int, step: int) -> list[slice]:
    return [slice(start, start + step) for start in range(0, length, step)]


def _require_finite(values: Tensor) -> None:
    if not bool(torch.isfinite(values.detach()).all()):
        raise NonFiniteError(
            "a chain predicts an energy that is not finite: expected finite energies; use a "
            "smaller step size"
        )
