"""Laplace over the last layer: a normal around one fine-tuned model, in its readouts alone.

With J the Jacobian of all labelled energies and force components in the readout weights, each row
over its likelihood std, the precision is the generalised Gauss-Newton matrix J^T J + I / sigma_TL^2
[Daxberger et al. 2021]. The other weights and the force-std head stay at the maximum a posteriori.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnnflow.potentials import Potential
from bnnflow.records import Label
from bnnflow.training.posterior import Posterior
from bnnflow.training.sample import stream
from heldout_study.deep_ensemble import minimise
from heldout_study.method import Fit, Step, save_ensemble
from heldout_study.setting import Setting

READOUTS = "model.readouts."
FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class LastLayerLaplace:
    """One model with the steps of all k chains together, and k draws of its readouts."""

    setting: Setting
    sequential: bool = False

    def update(self, labels: Sequence[Label], step: Step) -> Fit:
        """Fine-tune, form the precision, draw."""
        setting = self.setting
        posterior = setting.posterior(labels, step.energy_shift)
        steps = setting.steps * setting.chains
        draws = setting.draws(len(labels), "laplace", len(labels), chains=1)
        start = setting.heads()[:1, posterior.active]
        best = posterior.full(minimise(start, posterior.gradient, draws, steps=steps))[0]
        readouts = readout_mask(posterior.potential)
        matrix = precision(posterior, best, readouts)
        streams = [
            stream(setting.seed, "laplace", len(labels), chain) for chain in range(setting.chains)
        ]
        members = best.repeat(setting.chains, 1)
        members[:, readouts] = gaussian_draws(best[readouts], matrix, streams)
        save_ensemble(step.target, active=posterior.active, members=members[:, posterior.active])
        rows = 1 + 3 * posterior.data.graphs.mask.shape[1]
        spent = steps * draws.batch + rows * len(labels)
        return Fit(spent / setting.chains, {"readout_weights": int(readouts.sum())})


def readout_mask(potential: Potential) -> Tensor:
    """(P,) True where a parameter belongs to a readout."""
    layout = potential.layout
    parts = zip(layout.names, layout.sizes, strict=True)
    return torch.cat([torch.full((size,), name.startswith(READOUTS)) for name, size in parts])


def precision(posterior: Posterior, parameters: Tensor, chosen: Tensor) -> Tensor:
    """(R, R) float64: Gauss-Newton of the likelihood plus the prior, in the chosen parameters.

    parameters: (P,) where it is taken; chosen: (P,) bool, R of them True.
    """
    stds = posterior.full(posterior.prior.std.unsqueeze(0))[0]
    matrix = torch.diag(stds[chosen].double() ** -2)
    for index in torch.arange(len(posterior.data)).split(FRAMES_AT_ONCE):
        for row in _scaled_jacobian(posterior, parameters, chosen, index):
            matrix += row.double().T @ row.double()
    return matrix


def _scaled_jacobian(
    posterior: Posterior, parameters: Tensor, chosen: Tensor, index: Tensor
) -> Iterator[Tensor]:
    """Rows (frames, R): the energies', then those of each force component, over their stds.

    Every frame has a copy of the parameters of its own, so that one backward pass gives one row
    for each of them. A padding atom feels no force: its rows are zero.
    """
    leaf = parameters[chosen].repeat(len(index), 1).requires_grad_(True)
    everything = parameters.repeat(len(index), 1)
    everything[:, chosen] = leaf
    graphs = posterior.data.graphs.take(index.unsqueeze(-1))
    output = posterior.potential.evaluate(everything, graphs, stress=False, create_graph=True)
    yield _rows(output.energy[:, 0], leaf) / posterior.energy_std
    for atom in range(graphs.mask.shape[-1]):
        std = output.force_std[:, 0, atom].detach().unsqueeze(-1)
        for component in range(3):
            yield _rows(output.forces[:, 0, atom, component], leaf) / std


def _rows(values: Tensor, leaf: Tensor) -> Tensor:
    gradients: tuple[Tensor, ...] = torch.autograd.grad(values.sum(), leaf, retain_graph=True)
    return gradients[0]


def gaussian_draws(
    mean: Tensor, precision_matrix: Tensor, generators: Sequence[torch.Generator]
) -> Tensor:
    """(k, R) draws from N(mean, precision^-1), one from each generator."""
    lower = torch.linalg.cholesky(precision_matrix)
    noise = [torch.randn(len(mean), generator=g, dtype=lower.dtype) for g in generators]
    shifts: Tensor = torch.linalg.solve_triangular(lower.T, torch.stack(noise).T, upper=True)
    return (mean.double() + shifts.T).to(mean)
