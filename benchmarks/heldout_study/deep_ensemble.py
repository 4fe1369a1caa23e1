"""A deep ensemble: fine-tuned k times, each member to its own maximum a posteriori.

The usual practice [Lakshminarayanan, Pritzel, Blundell 2017]: the members differ by the start of
their force-std heads and by the order of their minibatches. Same likelihood and prior as the
chains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bnnflow.bayes import Minibatch, MinibatchSampler
from bnnflow.records import Label
from heldout_study.method import Fit, Step, save_ensemble
from heldout_study.setting import Setting

STEP_SIZE = 1e-3


@dataclass(frozen=True)
class DeepEnsemble:
    """k members from the pre-trained weights by Adam, every update anew."""

    setting: Setting
    sequential: bool = False

    def update(self, labels: Sequence[Label], step: Step) -> Fit:
        """Fine-tune all members side by side."""
        setting = self.setting
        posterior = setting.posterior(labels, step.energy_shift)
        draws = setting.draws(len(labels), "adam", len(labels), chains=setting.chains)
        start = setting.heads()[:, posterior.active]
        members = minimise(start, posterior.gradient, draws, steps=setting.steps)
        save_ensemble(step.target, active=posterior.active, members=members)
        energy, force = posterior.errors(members)
        report = {"energy_rmse": energy.tolist(), "force_rmse": force.tolist()}
        return Fit(setting.steps * draws.batch, report)


def minimise(
    start: Tensor,
    gradient: Callable[[Tensor, Minibatch], Tensor],
    draws: MinibatchSampler,
    *,
    steps: int,
    step_size: float = STEP_SIZE,
) -> Tensor:
    """Adam from start (k, P) with a step size that falls to zero as a cosine; rows independent.

    gradient: (theta (k, P), minibatch) to (k, P), of what is to be minimised over N.
    """
    theta = start.clone()
    optimiser = torch.optim.Adam([theta], lr=step_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        theta.grad = gradient(theta, draws.draw())
        optimiser.step()
        schedule.step()
    return theta.detach()
